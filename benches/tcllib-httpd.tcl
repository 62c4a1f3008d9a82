# tcllib-httpd.tcl PORT: tcllib's httpd with one page, /hello, a competitor in the benchmarks. It closes the connection
# behind every response.

package require httpd

::httpd::server create server port [lindex $argv 0] myaddr 127.0.0.1
server plugin dict_dispatch ::httpd::plugin.dict_dispatch
server uri direct * hello {} {
    my reply set Content-Type {text/plain; charset=utf-8}
    my puts "Hello World!"
}
puts ready
flush stdout
vwait forever
