# autobahn-client.tcl -- the client that Autobahn's fuzzing server examines: runs each of its cases,
# echoing every message, and has the report written.
#
#   tclsh autobahn-client.tcl URL

source [file join [file dirname [file normalize [info script]]] load.tcl]
package require ws

# A case, and whatever its events were.
proc echo {channel event data} {
    switch $event {
        text {ws::client::send $channel $data}
        binary {ws::client::send -binary $channel $data}
        close {set ::over $data}
    }
}

# Opens the URL, echoes until the server closes; code and reason.
proc runCase {url} {
    unset -nocomplain ::over
    ws::client::open -callback echo $url
    vwait ::over
    return $::over
}

set url [lindex $argv 0]
set channel [ws::client::open $url/getCaseCount]
set count [ws::client::receive $channel]
ws::client::close $channel
for {set case 1} {$case <= $count} {incr case} {
    runCase "$url/runCase?case=$case&agent=ws"
}
runCase "$url/updateReports?agent=ws"
