# http-hello.tcl PORT ?CERT KEY? ?THREADS?: what the HTTP server of ns_connchan is measured by: /hello, as in
# examples/hello.tcl, and /big, 1 MiB. With THREADS the handlers run in so many connection threads.

package require ns_connchan

set threads [expr {$argc % 2 ? 0 : [lindex $argv end]}]
lassign $argv port certificate key

ns_section ns/module/nssock
ns_param keepwait 60
ns_section ns/module/nsssl
ns_param keepwait 60

ns_register_proc GET /hello {
    ns_return 200 text/plain "Hello World!"
}
set big [encoding convertto utf-8 [string repeat x 1048576]]
ns_register_proc GET /big [list ns_return 200 application/octet-stream $big]

set options {}
if {$argc >= 3} {
    lappend options -tls -cert $certificate -key $key
}
if {$threads} {
    lappend options -threads $threads
}
ns_serve -address 127.0.0.1 -port $port {*}$options
puts ready
flush stdout
vwait forever
