# programs.tcl -- runs the programs of support/programs in a server process, for the suites
# programs*.test; to be sourced after common.tcl and ws.tcl.

set programDirectory [file join $supportDirectory programs]

# Starts a server with the programs of these names; returns its port. Options: -threads, connection
# threads, -config a script before the programs, -log the file of its log. `serverAsk` evaluates
# something in it.
proc serverStart {names args} {
    set settings [dict merge {-threads 0 -config {}} $args]
    close [file tempfile ::serverLog]
    set ::server [serverProcess [string map [list \
        LOG [list $::serverLog] DIRECTORY [list $::programDirectory] NAMES [list $names] \
        CONFIG [dict get $settings -config] THREADS [dict get $settings -threads]] {
        ns_section ns/parameters {ns_param systemlog LOG}
        CONFIG
        foreach name {nsf NAMES} {
            foreach one $name {
                source [file join DIRECTORY $one.tcl]
            }
        }
        set options {}
        if {THREADS > 0} {
            # Connection threads know what this interpreter knows.
            set options [list -threads THREADS -init [ns_ictl get]]
        }
        puts [dict get [ns_serve -address 127.0.0.1 -port 0 {*}$options] port]
        proc answer {} {
            if {[gets stdin line] < 0} {
                exit
            }
            set failed [catch {uplevel #0 $line} result]
            puts [list $failed [encoding convertto utf-8 $result]]
        }
        fileevent stdin readable answer
        vwait forever
    }]]
    return [processLine $::server]
}

# Evaluates a script, of one line, in the server's main interpreter.
proc serverAsk {args} {
    lassign [processAsk $::server [join $args]] failed result
    if {$failed} {
        error "the server says: $result"
    }
    return [encoding convertfrom utf-8 $result]
}

# The server's log so far, without times and threads.
proc serverLogged {} {
    set file [open $::serverLog]
    fconfigure $file -encoding utf-8
    set text [read $file]
    close $file
    return [regsub -all -line {^\[[^]]*\]\[[^]]*\]\[[^]]*\] } $text ""]
}

proc awaitLogged {pattern} {
    awaitThat "\"$pattern\" in the log" {[string match *$pattern* [serverLogged]]}
}

# Ends the server; its log must have nothing worse than warnings.
proc serverEnd {} {
    processStop $::server
    set text [serverLogged]
    file delete $::serverLog
    foreach line [split $text \n] {
        if {[regexp {^(Error|Bug|Fatal):} $line]} {
            error "in the log of the server: $text"
        }
    }
}

# What comes back for a request, until the server closes.
proc request {port text} {
    set peer [tclConnect $port]
    peerWrite $peer $text
    set answer [peerReadAll $peer]
    close $peer
    return $answer
}

# A test of a server with these programs, in both ways of running handlers; $port is its port.
proc serverTest {name title programs options body result args} {
    foreach {suffix threads} {a 0 b 2} {
        uplevel #0 [list test $name$suffix "$title, $threads threads" -setup [list set serverArguments [list \
            $programs -threads $threads {*}$options]] -body "
            set port \[serverStart {*}\$serverArguments\]
            try {$body} on error {message options} {
                dict append options -errorinfo \"\\nlog of the server:\\n\[serverLogged\]\"
                return -options \$options \$message
            } finally {catch serverEnd ended}
        " -result $result {*}$args]
    }
}
