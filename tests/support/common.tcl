# common.tcl -- sourced first by every suite: tcltest, the package, the tools, and a stricter [test].
# A second time it does nothing: a suite may run the tests of another one (see overtls.tcl).
#
# A test leaves nothing behind and needs no -cleanup for that: around each of them every channel,
# socket, process, timer and note is cleared away. What is not given back by then shows in the last
# test of each file, [lastTest], which counts the descriptors of the process.

if {[info exists concept]} {
    return
}
package require Tcl 8.6-
package require tcltest 2.3
namespace import -force ::tcltest::testConstraint ::tcltest::cleanupTests
::tcltest::configure {*}$::argv

set here [file dirname [file normalize [info script]]]
source [file join $here load.tcl]
source [file join $here tools.tcl]

## Constraints

testConstraint linux [file isdirectory /proc/self/fd]
testConstraint python [llength [auto_execok python3]]
testConstraint nginx [expr {[llength [auto_execok nginx]] || [file executable /usr/sbin/nginx]}]
testConstraint openssl [llength [auto_execok openssl]]
testConstraint curl [llength [auto_execok curl]]
testConstraint ss [llength [auto_execok ss]]
testConstraint thread [expr {![catch {package require Thread}]}]
testConstraint ipv6 [expr {![catch {close [socket -server list -myaddr ::1 0]}]}]
testConstraint tcl8 [package vsatisfies [package provide Tcl] 8.6]
testConstraint tcl9 [package vsatisfies [package provide Tcl] 9.0]

## Tests

# The word that every name in the running file begins with.
set concept [file rootname [file tail $::argv0]]

# tcltest's [test], with clean hands before and after. Names must begin with the file's concept, so
# they differ between files, and must not be used twice.
proc test {name title args} {
    if {![string match "$::concept-*" $name]} {
        error "test $name does not begin with $::concept-"
    }
    if {[info exists ::testTitle($name)]} {
        error "two tests are named $name: {$::testTitle($name)} and {$title}"
    }
    set ::testTitle($name) $title
    clearAway
    uplevel 1 [list ::tcltest::test $name $title {*}$args]
    clearAway
}

# A test whose script raises an error with exactly this message and errorCode.
proc fails {name title script message {errorCode NONE} args} {
    uplevel 1 [list test $name $title -body $script -returnCodes error \
        -result $message -errorCode [globLiteral $errorCode] {*}$args]
}

# A pattern that matches just the text (tcltest matches error codes as patterns).
proc globLiteral {text} {
    return [string map {\\ \\\\ * \\* ? \\? \[ \\\[ \] \\\]} $text]
}

# Ends whatever a test has left open.
proc clearAway {} {
    foreach id [after info] {
        after cancel $id
    }
    foreach interpreter [interp children] {
        interp delete $interpreter
    }
    foreach entry [ns_connchan list] {
        catch {ns_connchan close [lindex $entry 0]}
    }
    foreach socket [file channels sock*] {
        catch {
            fconfigure $socket -blocking 0
            close $socket
        }
    }
    foreach process $::processes {
        if {![info exists ::pythonPeer] || $process ne $::pythonPeer} {
            processStop $process
        }
    }
    if {[info exists ::pythonPeer]} {
        if {[catch {python forget}]} {
            pythonStop
        }
    }
    array unset ::peerBytes
    array unset ::peerDone
    set ::notes {}
}

# The last test of a file: after everything in it the process holds as many descriptors as before.
# Then tcltest reports.
proc lastTest {} {
    test $::concept-99.1 {no descriptor is left open} -constraints linux -body {
        pythonStop
        awaitThat "$::descriptorsAtStart descriptors, there are [descriptorCount]" \
            {[descriptorCount] <= $::descriptorsAtStart}
    } -result {}
    cleanupTests
}

# What the library opens once, at first use, is no leak: use it once before counting.
apply {{} {
    lassign [listenPair] a b
    ns_connchan callback $b {reply 1} r
    ns_connchan close [ns_connchan connect -timeout 0 127.0.0.1 1]
    settle
    clearAway
}}
if {[testConstraint linux]} {
    set descriptorsAtStart [descriptorCount]
}

# An interpreter with the package and the tools; its [tell] notes its arguments here and answers 1.
# It is deleted at the end of the test.
proc interpStart {} {
    set interpreter [interp create]
    foreach name $::preludeFiles {
        interp eval $interpreter [list source [file join $::supportDirectory $name]]
    }
    interp alias $interpreter tell {} reply 1
    return $interpreter
}
