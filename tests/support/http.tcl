# http.tcl -- a server of this process and clients for it, sourced after common.tcl.
#
# A site is made anew for each test that asks for one (clean hands close it); handlers, filters and
# configuration are the process's and stay, so every test uses paths of its own.

close [file tempfile httpLog]
ns_section ns/parameters [list ns_param systemlog $httpLog]
lappend preludeFiles http.tcl
ns_log notice "the log is open"
if {[testConstraint linux]} {
    set descriptorsAtStart [descriptorCount]
}

# Starts a server with these options of ns_serve, and returns its port. What it is configured with
# beforehand is given as -config {name value ...}, in a section of its own.
set siteSerial 0
proc site {args} {
    if {[lindex $args 0] eq "-config"} {
        set args [lassign $args - config]
        set name site[incr ::siteSerial]_[pid]
        ns_section ns/modules [list ns_param $name nssock.so]
        ns_section ns/module/$name
        foreach {key value} $config {
            ns_param $key $value
        }
        set args [linsert $args 0 -driver $name]
    }
    set ::site [ns_serve -port 0 {*}$args]
    return [dict get $::site port]
}

# The port of the site, which is made when there is none.
proc sitePort {} {
    if {![info exists ::site] || ![ns_connchan exists [dict get $::site channel]]} {
        site
    }
    return [dict get $::site port]
}

# Sends bytes and returns all that comes until the end of the connection, dates made alike.
proc raw {bytes {port ""}} {
    if {$port eq ""} {
        set port [sitePort]
    }
    set peer [tclConnect $port]
    peerWrite $peer $bytes
    set answer [peerReadAll $peer]
    close $peer
    return [dated $answer]
}

proc dated {answer} {
    return [regsub -all -line {^date: .*?GMT\r$} $answer "date: <date>\r"]
}

# A request on a connection of its own, which it asks to be closed. Options: -body, -headers {name
# value ...}, -version, -port.
proc ask {method target args} {
    set options [dict merge {-body "" -headers {} -version 1.1 -port ""} $args]
    set lines [list "$method $target HTTP/[dict get $options -version]" "Host: localhost" "Connection: close"]
    foreach {name value} [dict get $options -headers] {
        lappend lines "$name: $value"
    }
    set body [dict get $options -body]
    if {$body ne ""} {
        lappend lines "Content-Length: [string length $body]"
    }
    return [raw [join $lines \r\n]\r\n\r\n$body [dict get $options -port]]
}

# The parts of an answer.
proc statusOf {answer} {
    return [lindex [split [lindex [split $answer \r] 0]] 1]
}
proc bodyOf {answer} {
    set at [string first \r\n\r\n $answer]
    return [string range $answer [expr {$at + 4}] end]
}
proc headOf {answer} {
    return [string map {\r ""} [string range $answer 0 [string first \r\n\r\n $answer]-1]]
}
proc fieldOf {name answer} {
    foreach line [lrange [split [headOf $answer] \n] 1 end] {
        if {[regexp {^([^:]*): ?(.*)$} $line - key value] && [string equal -nocase $key $name]} {
            return $value
        }
    }
    return ""
}
# The names of the fields, in their order.
proc fieldNames {answer} {
    return [lmap line [lrange [split [headOf $answer] \n] 1 end] {lindex [split $line :] 0}]
}

# What GET (or another method) of this path answers, in short: the body, or the status in brackets.
proc look {path {method GET}} {
    set answer [ask $method $path]
    return [expr {[statusOf $answer] == 200 ? [bodyOf $answer] : "<[statusOf $answer]>"}]
}

# Registers a handler for GET of a fresh path and asks for it; the whole answer.
set handlerSerial 0
proc handled {script args} {
    set path /handled[incr ::handlerSerial]
    ns_register_proc GET $path $script
    return [ask GET $path {*}$args]
}

# The result of a script in a handler, which answers with it; of an error, the message.
proc within {script args} {
    set ::withinResult ""
    handled [list apply {{script} {
        catch {uplevel #0 $script} ::withinResult
        catch {ns_return 200 text/plain ok}
    }} $script] {*}$args
    return $::withinResult
}

# What the log gains while the script runs; lines without their heads.
proc logOf {script} {
    set before [file size $::httpLog]
    uplevel 1 $script
    set stream [open $::httpLog]
    seek $stream $before
    set text [read $stream]
    close $stream
    return [regsub -all -line {^\[[^\]]*\]\[[^\]]*\]\[[^\]]*\] } $text ""]
}
