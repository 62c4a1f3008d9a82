# support.tcl -- what the hot support commands cost, beside what else does the same: Thread's tsv, Tcl's
# dict, tcllib's uri and ncgi (Tcl's own http where that is missing).
#
#   tclsh8.6 benches/support.tcl ?milliseconds for each?
#
# Prints one line for each pair: name, microseconds a call, name of the peer, its microseconds. The two take
# turns, and the best turn of each counts, so that a machine with other work slows down neither alone. A
# peer that is not there is printed as "-".

package require ns_connchan

set milliseconds [expr {$argc ? [lindex $argv 0] : 250}]
set turns 10

proc has {package} {
    return [expr {![catch {package require $package}]}]
}

# Calls in one turn: as many as take a turn's share of the time.
proc callsFor {script} {
    set once [lindex [time $script 200] 0]
    return [expr {max(10, int($::milliseconds * 1000.0 / $::turns / max($once, 0.01)))}]
}

proc compare {name ours peerName peer} {
    eval $ours
    set calls [callsFor $ours]
    set best Inf
    set peerBest -
    if {$peerName ne "-"} {
        eval $peer
        set peerCalls [callsFor $peer]
        set peerBest Inf
    }
    for {set i 0} {$i < $::turns} {incr i} {
        set best [expr {min($best, [lindex [time $ours $calls] 0])}]
        if {$peerName ne "-"} {
            set peerBest [expr {min($peerBest, [lindex [time $peer $peerCalls] 0])}]
        }
    }
    puts [list $name $best $peerName $peerBest]
}

# Each is a proc: so both sides are compiled.
proc nsvIncr {} {nsv_incr bench counter}
proc tsvIncr {} {tsv::incr bench counter}
proc nsvSet {} {nsv_set bench key "some value"}
proc tsvSet {} {tsv::set bench key "some value"}
proc nsvGet {} {nsv_get bench key}
proc tsvGet {} {tsv::get bench key}
proc setGet {} {ns_set get $::set content-type}
proc dictGet {} {dict get $::dict content-type}
proc parseUrl {} {ns_parseurl http://localhost:8080/echo/chat?x=1}
proc uriSplit {} {uri::split http://localhost:8080/echo/chat?x=1}
proc urlEncode {} {ns_urlencode "hello world & more = much/more?"}
proc ncgiEncode {} {ncgi::encode "hello world & more = much/more?"}
proc httpEncode {} {http::quoteString "hello world & more = much/more?"}

set fields {host localhost accept */* content-type text/plain content-length 100 cookie a=b}
set set [ns_set create {*}$fields]
set dict [dict create {*}$fields]

set tsv [expr {[has Thread] ? {tsv} : {-}}]
compare nsv_incr nsvIncr $tsv tsvIncr
compare nsv_set nsvSet $tsv tsvSet
compare nsv_get nsvGet $tsv tsvGet
compare "ns_set get" setGet dict dictGet
compare ns_parseurl parseUrl [expr {[has uri] ? "tcllib uri" : "-"}] uriSplit
if {[has ncgi]} {
    compare ns_urlencode urlEncode "tcllib ncgi" ncgiEncode
} elseif {[has http]} {
    compare ns_urlencode urlEncode "Tcl's http" httpEncode
} else {
    compare ns_urlencode urlEncode - -
}
