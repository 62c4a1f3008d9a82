# proxy.tcl -- ns_proxy as the benchmark measures it, beside thread::send.
#
#   tclsh benches/proxy.tcl WHAT SECONDS
#
# prints two numbers: microseconds a round trip, by the clock and of processor time in both processes; or
# evaluations a second and 0 for `parallel`.

package require nsproxy
lassign $argv what seconds
set megabyte [string repeat x 1000000]

# Microseconds of processor time that this process, and that of a worker, have used so far.
proc processorTime {} {
    global h
    set files [glob -nocomplain /proc/[pid]/task/*/schedstat]
    if {[info exists h]} {
        foreach pid [ns_proxy pids bench] {
            lappend files {*}[glob -nocomplain /proc/$pid/task/*/schedstat]
        }
    }
    set sum 0
    foreach name $files {
        catch {
            set file [open $name]
            set sum [expr {$sum + [lindex [read $file] 0] / 1e3}]
            close $file
        }
    }
    return $sum
}

# Microseconds that a call of the script takes, by the clock and of processor time.
proc measure {script} {
    global seconds
    uplevel #0 [list time $script 20]
    set count 20
    set used [processorTime]
    set end [expr {[clock microseconds] + round($seconds * 1e6)}]
    set start [clock microseconds]
    set calls 0
    while {[set now [clock microseconds]] < $end} {
        uplevel #0 [list time $script $count]
        incr calls $count
    }
    return "[expr {double($now - $start) / $calls}] [expr {([processorTime] - $used) / $calls}]"
}

switch $what {
    roundtrip {
        set h [lindex [ns_proxy get bench] 0]
        puts [measure {ns_proxy eval $h {expr 1+1}}]
    }
    thread {
        package require Thread
        set tid [thread::create]
        puts [measure {thread::send $tid {expr 1+1}}]
    }
    argument {
        set h [lindex [ns_proxy get bench] 0]
        puts [measure {ns_proxy eval $h [list string length $megabyte]}]
    }
    threadargument {
        package require Thread
        set tid [thread::create]
        puts [measure {thread::send $tid [list string length $megabyte]}]
    }
    result {
        set h [lindex [ns_proxy get bench] 0]
        $h [list set result $megabyte]
        puts [measure {ns_proxy eval $h {set result}}]
    }
    start {
        # With the process: got, used once, cleared away
        # Of the processes that are gone nobody knows what they have used
        puts [measure {
            set h [lindex [ns_proxy get bench] 0]
            $h {expr 1+1}
            ns_proxy put $h
            ns_proxy clear bench
        }]
    }
    parallel {
        package require Thread
        ns_proxy configure bench -maxworkers 8
        set script {
            set auto_path AUTO
            package require nsproxy
            set h [lindex [ns_proxy get bench] 0]
            $h {expr 1+1}
            proc run {seconds} {
                global h
                set calls 0
                set start [clock microseconds]
                set end [expr {$start + round($seconds * 1e6)}]
                while {[set now [clock microseconds]] < $end} {
                    for {set i 0} {$i < 20} {incr i} {
                        ns_proxy eval $h {expr 1+1}
                    }
                    incr calls 20
                }
                return [expr {$calls * 1e6 / ($now - $start)}]
            }
            thread::wait
        }
        set threads {}
        for {set i 0} {$i < 8} {incr i} {
            lappend threads [thread::create [string map [list AUTO [list $auto_path]] $script]]
        }
        foreach tid $threads {
            thread::send $tid {set h}
        }
        foreach tid $threads {
            thread::send -async $tid [list run $seconds] rate($tid)
        }
        set sum 0
        foreach tid $threads {
            while {![info exists rate($tid)]} {
                vwait rate
            }
            set sum [expr {$sum + $rate($tid)}]
        }
        puts "$sum 0"
    }
}
