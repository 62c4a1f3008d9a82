# load.tcl -- makes the package ns_connchan available to whoever sources this.
#
# Sourced by the suites (through common.tcl), by the child processes and threads they start, and by
# soak.tcl and valgrind.tcl, so that all of them find the same library: in the folder named by the
# environment variable NS_CONNCHAN_DIR, else along TCLLIBPATH, else in ../../target/release.

apply {{here} {
    if {[info exists ::env(NS_CONNCHAN_DIR)] && $::env(NS_CONNCHAN_DIR) ne ""} {
        set ::auto_path [linsert $::auto_path 0 [file normalize $::env(NS_CONNCHAN_DIR)]]
    }
    lappend ::auto_path [file normalize [file join $here .. .. target release]]
    package require ns_connchan
}} [file dirname [file normalize [info script]]]
