# proxysuite.tcl -- sourced first by the suites of ns_proxy: common.tcl, proxy.tcl, and hands that are
# clean of pools as well.

source [file join [file dirname [file normalize [info script]]] common.tcl]
source [file join $here proxy.tcl]

testConstraint root [expr {![catch {exec id -u} uid] && $uid eq "0"}]

rename clearAway clearAwayRest
proc clearAway {} {
    proxyClear
    clearAwayRest
}

# The reaper is started with the first worker, and keeps two descriptors.
ns_proxy put [newHandle]
clearAway
incr descriptorsAtStart 2
awaitThat "the end of the first worker" {[descriptorCount] <= $descriptorsAtStart}
