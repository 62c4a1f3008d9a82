# socks.tcl -- words for suites about ns_socks; sourced after common.tcl.

# The init script with which reactor threads know the words of tools.tcl.
proc preludeScript {} {
    return [childScript {}]
}

# Runs the script with that many reactor threads, which then end with their channels.
proc withSocks {threads script} {
    ns_socks configure -threads $threads -init [preludeScript]
    try {
        uplevel 1 $script
    } finally {
        ns_socks join 1
        socksEnd
    }
}

# Ends all reactor threads with their channels.
proc socksEnd {} {
    foreach entry [ns_connchan list] {
        catch {ns_connchan close [lindex $entry 0]}
    }
    ns_socks configure -threads 0 -init {}
    awaitThat "the end of the reactor threads" {[dict get [ns_socks stats] retired] eq ""}
}

# Reads from a peer without the event loop: what serves it is another thread. Fewer bytes at the end
# of file.
proc blockingRead {peer count} {
    fconfigure $peer -blocking 1
    return [read $peer $count]
}

# What a script writes to standard error, in a process of its own that ends well.
proc childErrors {script args} {
    set ended [child $script {*}$args]
    if {[dict get $ended status] ne "0"} {
        error "child ended with status [dict get $ended status]: [dict get $ended stderr]"
    }
    return [dict get $ended stderr]
}
