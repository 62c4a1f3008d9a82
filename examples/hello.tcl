# A web server of a few lines: GET /hello answers "Hello World!".
#
#   tclsh examples/hello.tcl ?PORT? ?THREADS?
#
# The port is one of 127.0.0.1, by default 8080. Without THREADS the handler
# runs in this interpreter; with a number, in so many connection threads, each
# with an interpreter that the script behind -init has made ready.

package require ns_connchan

lassign [list {*}$argv 8080 0] port
set threads [expr {$argc > 1 ? [lindex $argv 1] : 0}]

ns_register_proc GET /hello {
    ns_return 200 text/plain "Hello World!"
}

set options {}
if {$threads > 0} {
    lappend options -threads $threads
}
ns_serve -address 127.0.0.1 -port $port {*}$options
puts ready
flush stdout
vwait forever
