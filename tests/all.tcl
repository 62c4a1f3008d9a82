# all.tcl -- runs every suite beside it, each file in a process of its own, and adds up.
#
#   tclsh tests/all.tcl ?-file PATTERN? ?-notfile PATTERN? ?-match PATTERN? ?-verbose LEVELS? ...
#
# The options are tcltest's. The exit status is 0 only when tests ran and every one of them passed.
# tcltest's own runAllTests lets several kinds of broken file pass (one that ends before
# cleanupTests, one that runs no test, one that never ends), so this runner asks more of a file: it
# must print its totals, exit with 0, write nothing to standard error, and end within -deadline
# seconds.

package require Tcl 8.6-
package require tcltest 2.3

set deadline 240
set options {}
foreach {name value} $argv {
    if {$name eq "-deadline"} {
        set deadline $value
    } else {
        lappend options $name $value
    }
}
tcltest::configure -testdir [file dirname [file normalize [info script]]] -singleproc 0 {*}$options

# The suites that -file and -notfile select.
proc suites {} {
    set files {}
    foreach pattern [tcltest::configure -file] {
        lappend files {*}[glob -nocomplain -directory [tcltest::configure -testdir] $pattern]
    }
    set wanted {}
    foreach file [lsort -unique $files] {
        set refused 0
        foreach pattern [tcltest::configure -notfile] {
            if {[string match $pattern [file tail $file]]} {
                set refused 1
            }
        }
        if {!$refused} {
            lappend wanted $file
        }
    }
    return $wanted
}

# Runs one suite. Returns a dict: total passed skipped failed, and complaint: what is wrong with the
# file as a whole, empty if nothing is.
proc runSuite {file options} {
    variable deadline
    close [file tempfile errorsFile]
    set command [list [info nameofexecutable] $file -singleproc 0 -tmpdir $::scratch {*}$options 2> $errorsFile]
    set pipe [open |$command r]
    fconfigure $pipe -blocking 0
    set ::suite [dict create total 0 passed 0 skipped 0 failed 0 complaint "" over 0 counted 0]
    set guard [after [expr {$deadline * 1000}] {dict set ::suite over deadline}]
    fileevent $pipe readable [list suiteReadable $pipe]
    while {[dict get $::suite over] == 0} {
        vwait ::suite
    }
    after cancel $guard
    fileevent $pipe readable {}

    set complaints {}
    if {[dict get $::suite over] eq "deadline"} {
        lappend complaints "did not end within $deadline seconds"
        catch {exec kill -KILL {*}[pid $pipe]}
    }
    fconfigure $pipe -blocking 1
    if {[catch {close $pipe} message]} {
        lappend complaints $message
    }
    if {![dict get $::suite counted]} {
        lappend complaints "printed no totals"
    } elseif {[dict get $::suite total] == 0} {
        lappend complaints "ran no test"
    }
    set errors [open $errorsFile]
    set text [string trim [read $errors]]
    close $errors
    file delete $errorsFile
    if {$text ne ""} {
        lappend complaints "wrote to standard error: $text"
    }
    dict set ::suite complaint [join $complaints "; "]
    return $::suite
}

proc suiteReadable {pipe} {
    while {[gets $pipe line] >= 0} {
        if {[regexp {^\S+:\tTotal\t(\d+)\tPassed\t(\d+)\tSkipped\t(\d+)\tFailed\t(\d+)} $line \
                - total passed skipped failed]} {
            dict set ::suite total $total
            dict set ::suite passed $passed
            dict set ::suite skipped $skipped
            dict set ::suite failed $failed
            dict incr ::suite counted
        } elseif {[string trim $line] ne ""} {
            puts $line
        }
    }
    if {[eof $pipe]} {
        fileevent $pipe readable {}
        dict set ::suite over end
    }
}

# The suites that use TLS share one certificate authority (support/ca.tcl), made by the first of them.
close [file tempfile authority ns_connchan-ca]
file delete $authority
set env(NS_CONNCHAN_TEST_CA) $authority
# The files of this run (tcltest's makeFile): other runs may go on at the same time.
close [file tempfile scratch ns_connchan-files]
file delete $scratch
file mkdir $scratch

puts "Tcl [info patchlevel], [info nameofexecutable]"
set sum [dict create total 0 passed 0 skipped 0 failed 0]
set broken {}
foreach file [suites] {
    set start [clock milliseconds]
    set result [runSuite $file $options]
    foreach key {total passed skipped failed} {
        dict incr sum $key [dict get $result $key]
    }
    if {[dict get $result failed] || [dict get $result complaint] ne ""} {
        lappend broken [file tail $file]
    }
    puts [format "%-20s %4d passed %3d skipped %3d failed %6.1f s" [file tail $file] \
        [dict get $result passed] [dict get $result skipped] [dict get $result failed] \
        [expr {([clock milliseconds] - $start) / 1000.0}]]
    if {[dict get $result complaint] ne ""} {
        puts "==== [file tail $file]: [dict get $result complaint]"
    }
    flush stdout
}

file delete -force $authority $scratch

dict with sum {
    puts "all.tcl:\tTotal\t$total\tPassed\t$passed\tSkipped\t$skipped\tFailed\t$failed"
    if {$passed == 0} {
        puts "==== no test passed: nothing was run"
        exit 1
    }
}
if {[llength $broken]} {
    puts "==== not in order: [join $broken {, }]"
    exit 1
}
exit 0
