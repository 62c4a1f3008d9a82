# proxy-pool.tcl -- counts the words of files in worker processes, event-driven: a file that makes a
# worker hang or crash costs that file only.
#
#   tclsh examples/proxy-pool.tcl FILE ?FILE ...?

package require nsproxy

ns_proxy configure count -maxworkers 4 -init {
    proc count {name} {
        set file [open $name]
        try {
            return [llength [regexp -all -inline {\S+} [read $file]]]
        } finally {
            close $file
        }
    }
}

# Gives the next file to a worker, for ten seconds.
proc next {h} {
    global files
    if {![llength $files]} {
        ns_proxy put $h
        return
    }
    set files [lassign $files name]
    # In case that the one before has cost the worker
    ns_proxy ping $h
    ns_proxy send $h [list count $name]
    set limit [after 10000 [list ns_proxy stop count $h]]
    nsproxy::callback $h [list done $h $name $limit]
}

# The answer is there, or the news that there will be none.
proc done {h name limit reason} {
    global left finished
    after cancel $limit
    if {[catch {ns_proxy recv $h} result]} {
        puts "$name: $result"
    } else {
        puts "$name: $result words"
    }
    next $h
    if {[incr left -1] == 0} {
        set finished 1
    }
}

set files $argv
set left [llength $files]
if {$left == 0} {
    puts stderr "usage: tclsh proxy-pool.tcl FILE ?FILE ...?"
    exit 2
}
foreach h [ns_proxy get count -handles [expr {min(4, $left)}]] {
    next $h
}
vwait finished
