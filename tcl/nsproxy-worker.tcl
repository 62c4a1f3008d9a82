# nsproxy-worker.tcl -- the main of a worker process of ns_proxy.
#
#   tclsh nsproxy-worker.tcl POOL HANDLE BLANKS
#
# Scripts come by descriptor 3, and their results go back there. The blanks are the room in which ps
# shows the script that is being evaluated.

load [file join [file dirname [info script]] libns_connchan.so] Ns_connchan
unset -nocomplain argc argv argv0
info script ""
nsproxy::serve 3
