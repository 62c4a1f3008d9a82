# nsf.tcl -- what the programs here use of the package nsf: the package itself where there is one, else
# an nsf::proc of a few lines, with options, switches, defaults and deprecation, but without types.

if {[info commands ::nsf::proc] ne "" || ![catch {package require nsf}]} {
    return
}

namespace eval ::nsf {}

proc ::nsf::proc {args} {
    set isDeprecated [expr {[lindex $args 0] eq "-deprecated"}]
    lassign [lrange $args $isDeprecated end] name parameters body
    set options {}
    set words {}
    foreach parameter $parameters {
        lassign $parameter declared default
        lassign [split $declared :] plain type
        if {![string match -* $plain]} {
            lappend words [lreplace $parameter 0 0 $plain]
        } elseif {$type eq "switch"} {
            dict set options $plain {switch 0}
        } else {
            dict set options $plain [list value {*}[lrange $parameter 1 1]]
        }
    }
    set warning [expr {$isDeprecated
        ? "ns_log Warning {nsf: *** proc $name is deprecated.}\n" : ""}]
    if {$options eq ""} {
        uplevel 1 [list ::proc $name $words $warning$body]
    } else {
        uplevel 1 [list ::proc $name args "::nsf::Arguments [list $name $options $words]\n$warning$body"]
    }
}

# Sets the caller's variables from its args.
proc ::nsf::Arguments {name options words} {
    upvar 1 args given
    set rest $given
    dict for {option how} $options {
        lassign $how kind default
        if {[llength $how] == 2} {
            uplevel 1 [list set [string range $option 1 end] $default]
        }
    }
    while {[dict exists $options [lindex $rest 0]]} {
        set rest [lassign $rest option]
        if {[dict get $options $option] eq {switch 0}} {
            uplevel 1 [list set [string range $option 1 end] 1]
        } else {
            set rest [lassign $rest value]
            uplevel 1 [list set [string range $option 1 end] $value]
        }
    }
    if {[lindex $rest 0] eq "--"} {
        set rest [lrange $rest 1 end]
    }
    foreach word $words {
        if {[lindex $word 0] eq "args"} {
            uplevel 1 [list set args $rest]
            return
        }
        if {$rest eq "" && [llength $word] == 1} {
            error "missing argument [lindex $word 0] of $name"
        }
        uplevel 1 [list set [lindex $word 0] [expr {$rest eq "" ? [lindex $word 1] : [lindex $rest 0]}]]
        set rest [lrange $rest 1 end]
    }
    if {$rest ne ""} {
        error "too many arguments of $name"
    }
}
