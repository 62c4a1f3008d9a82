# ns.tcl -- tables of scripts, for the suites of the support commands. Sourced after common.tcl.

# A test for each pair: the script has this result. Scripts run at global level, one after the other.
proc gives {section rows} {
    set serial 0
    foreach {script result} $rows {
        test $::concept-$section.[incr serial] [string trim $script] -body \
            [list uplevel #0 $script] -result [uplevel #0 [list subst -nocommands $result]]
    }
}

# A test for each triple: the script raises an error with this message and errorCode.
proc refuses {section rows} {
    set serial 0
    foreach {script message code} $rows {
        fails $::concept-$section.[incr serial] [string trim $script] [list uplevel #0 $script] \
            $message $code
    }
}

# A test for each pair of words of a command and its usage.
proc usages {section rows} {
    set triples {}
    foreach {words usage} $rows {
        lappend triples $words "wrong # args: should be \"$usage\"" {TCL WRONGARGS}
    }
    refuses $section $triples
}
