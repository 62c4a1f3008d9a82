# httpsite.tcl -- what the suites of the HTTP server share, sourced after common.tcl: servers with
# settings of their own, peers that speak HTTP byte by byte, and answers as a test can compare them.
#
# With ::connectionThreads set, handlers run in so many connection threads; a suite written for both
# is sourced twice.

if {[info exists pathSerial]} {
    return
}
source [file join $supportDirectory tls.tcl]
lappend preludeFiles httpsite.tcl

if {![info exists connectionThreads]} {
    set connectionThreads 0
}

# Starts a server; returns its port. args are parameters of its driver's section, name and value.
proc site {args} {
    return [dict get [siteDict {} {*}$args] port]
}

# The same with options for ns_serve in front; returns what ns_serve does.
proc siteDict {options args} {
    set name http[incr ::driverSerial]
    set tls [expr {"-tls" in $options}]
    ns_section ns/modules [list ns_param $name [expr {$tls ? "nsssl" : "nssock"}]]
    ns_section ns/module/$name {
        foreach {parameter value} $args {
            ns_param $parameter $value
        }
        if {$tls} {
            ns_param certificate [pem server.all]
        }
    }
    if {$::connectionThreads && "-threads" ni $options} {
        lappend options -threads $::connectionThreads
    }
    return [ns_serve -driver $name -address 127.0.0.1 -port 0 {*}$options]
}

# The text with every line end as HTTP has it, as UTF-8.
proc crlf {text} {
    return [encoding convertto utf-8 [string map {\n \r\n} $text]]
}

# A request: line and fields by their text, Host added; the body behind an empty line is as it is.
proc req {line args} {
    set text "$line\r\n"
    set body ""
    foreach field $args {
        if {[string match "body=*" $field]} {
            set body [string range $field 5 end]
        } else {
            append text $field\r\n
        }
    }
    if {[string match "* HTTP/1.1" $line] && ![llength [lsearch -nocase -glob -inline $args host:*]]} {
        append text "Host: localhost\r\n"
    }
    return $text\r\n$body
}

# Sends bytes and the end of what there is to send; returns all that comes back until the end. A
# server has to answer what was complete (spec/http.md 5.2).
proc ask {port bytes {seconds 10}} {
    set peer [tclConnect $port]
    try {
        peerWrite $peer $bytes
        close $peer write
        return [peerReadAll $peer $seconds]
    } finally {
        close $peer
    }
}

# Sends bytes, and leaves its own side open: what comes until the server ends the connection.
proc askOpen {port bytes {seconds 10}} {
    set peer [tclConnect $port]
    try {
        peerWrite $peer $bytes
        return [peerReadAll $peer $seconds]
    } finally {
        close $peer
    }
}

# An answer with what differs from one time to the next made equal, and plain line ends.
proc plainly {answer} {
    regsub -all {(date: )\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT} $answer {\1<date>} answer
    return [string map {\r\n \n} $answer]
}

# The answer to one request, as plainly does it.
proc answer {port args} {
    return [plainly [ask $port [req {*}$args]]]
}

# Takes one response off the front of what the variable holds, and returns it as a dict: status,
# reason, version, names (in their order), fields (name value ...), head (the text), body. Heads of
# 1xx are in front of others; -head 1 says that the request was a HEAD.
proc takeResponse {varName {isHead 0}} {
    upvar 1 $varName bytes
    set end [string first \r\n\r\n $bytes]
    if {$end < 0} {
        error "no head in \"[string range $bytes 0 99]\""
    }
    set head [string range $bytes 0 $end-1]
    set bytes [string range $bytes $end+4 end]
    set lines [split [string map {\r\n \n} $head] \n]
    if {![regexp {^HTTP/(\d\.\d) (\d{3}) (.*)$} [lindex $lines 0] - version status reason]} {
        error "no status line: \"[lindex $lines 0]\""
    }
    set fields {}
    foreach line [lrange $lines 1 end] {
        set colon [string first : $line]
        lappend fields [string range $line 0 $colon-1] [string range $line $colon+2 end]
    }
    set names [dict keys $fields]
    set body ""
    if {$isHead || $status in {204 304} || $status < 200} {
        # none
    } elseif {[dict exists $fields transfer-encoding]} {
        while 1 {
            set eol [string first \r\n $bytes]
            scan [string range $bytes 0 $eol-1] %x size
            append body [string range $bytes $eol+2 [expr {$eol + 1 + $size}]]
            if {[string range $bytes [expr {$eol + 2 + $size}] [expr {$eol + 3 + $size}]] ne "\r\n"} {
                error "no end of line behind a chunk"
            }
            set bytes [string range $bytes [expr {$eol + 4 + $size}] end]
            if {$size == 0} {
                break
            }
        }
    } elseif {[dict exists $fields content-length]} {
        set length [dict get $fields content-length]
        if {[string length $bytes] < $length} {
            error "only [string length $bytes] bytes of $length"
        }
        set body [string range $bytes 0 $length-1]
        set bytes [string range $bytes $length end]
    } else {
        set body $bytes
        set bytes ""
    }
    return [dict create status $status reason $reason version $version names $names \
        fields $fields head $head body $body]
}

# All responses in bytes, as takeResponse has them.
proc responses {bytes} {
    set all {}
    while {$bytes ne ""} {
        lappend all [takeResponse bytes]
    }
    return $all
}

# {status body} of each response in bytes.
proc results {bytes} {
    return [lmap one [responses $bytes] {list [dict get $one status] [dict get $one body]}]
}

# Body, or status, or a field of the one answer to a request.
proc bodyOf {port args} {
    return [dict get [lindex [responses [ask $port [req {*}$args]]] 0] body]
}

proc statusOf {port args} {
    return [dict get [lindex [responses [ask $port [req {*}$args]]] 0] status]
}

proc fieldOf {name port args} {
    set fields [dict get [lindex [responses [ask $port [req {*}$args]]] 0] fields]
    return [expr {[dict exists $fields $name] ? [dict get $fields $name] : "(none)"}]
}

# Names, or a new path: registrations cannot all be taken back, so that each test has paths of its
# own.
set pathSerial 0
proc newPath {} {
    return /t[incr ::pathSerial]
}

# Registers a handler at a new path; returns the path. A script runs at global level.
proc handler {script {method GET}} {
    set path [newPath]
    ns_register_proc $method $path $script
    return $path
}

# The answer, plainly, to a GET of a handler with this script.
proc answered {script args} {
    return [answer [site] "GET [handler $script] HTTP/1.1" {*}$args]
}

# The value of a script that runs in a handler; an error's message when it fails.
proc inHandler {script {line {}} args} {
    set path [newPath]
    set method [expr {$line eq "" ? "GET" : [lindex $line 0]}]
    ns_register_proc $method $path [list apply {{script} {
        catch {uplevel #0 $script} result
        ns_return 200 text/plain $result
    }} $script]
    if {$line eq ""} {
        set line "GET $path HTTP/1.1"
    } else {
        set line [string map [list PATH $path] $line]
    }
    return [encoding convertfrom utf-8 [bodyOf [site] $line {*}$args]]
}

logToFile

# Runs the tests of other suites in this one, as settings that were made before want it; those that
# one of the patterns matches are left out. NAME-1.2 of httpspecmatch.test is CONCEPT-match1.2 here.
proc runSuites {files leftOut} {
    set ::leftOut $leftOut
    rename test testHere
    rename lastTest lastTestHere
    proc lastTest {} {}
    proc test {name title args} {
        foreach pattern $::leftOut {
            if {[string match $pattern $name]} {
                return
            }
        }
        regexp {^httpspec(\w*)-(.*)$} $name - part number
        uplevel 1 [list testHere $::concept-$part$number $title {*}$args]
    }
    foreach file $files {
        uplevel #0 [list source [file join $::supportDirectory .. $file]]
    }
    rename test {}
    rename lastTest {}
    rename testHere test
    rename lastTestHere lastTest
}

# Runs a program while the event loop goes on, and returns what it printed, as text. That it fails
# is an error.
proc program {command {seconds 60}} {
    set process [processStart $command]
    awaitWritten "the end of [lindex $command 0]" [list processEnded($process)] \
        {$::processEnded($process)} $seconds
    set output [join $::processLines($process) \n]
    fconfigure $process -blocking 1
    set failed [catch {close $process} message]
    set errors [processErrors $process]
    set ::processes [lsearch -all -inline -not -exact $::processes $process]
    file delete {*}$::processFiles($process)
    foreach array {processErrorsFile processFiles processLines processEnded} {
        unset ::${array}($process)
    }
    if {$failed} {
        error "[join $command]: $message: $errors$output"
    }
    return $output
}

# A file with these bytes, which is deleted at the end of the suite.
proc bytesFile {bytes} {
    set file [file tempfile name]
    fconfigure $file -translation binary
    puts -nonewline $file $bytes
    close $file
    lappend ::bytesFiles $name
    return $name
}
set bytesFiles {}
proc forgetFiles {} {
    file delete -force {*}$::bytesFiles
    set ::bytesFiles {}
}

# Starts an nginx with this configuration of its http block, in which @ is its port; returns the port.
proc nginxWith {configuration} {
    set port [freePort]
    close [file tempfile folder]
    file delete $folder
    file mkdir $folder
    lappend ::bytesFiles $folder
    set file [open $folder/nginx.conf w]
    puts $file "daemon off; master_process off; pid $folder/pid; error_log $folder/error.log;
        events {worker_connections 512;}
        http {
            access_log off;
            client_body_temp_path $folder/body; proxy_temp_path $folder/proxy;
            fastcgi_temp_path $folder/fastcgi; uwsgi_temp_path $folder/uwsgi;
            scgi_temp_path $folder/scgi;
            [string map [list @ $port] $configuration]
        }"
    close $file
    set nginx [auto_execok nginx]
    if {$nginx eq ""} {
        set nginx /usr/sbin/nginx
    }
    processStart [list {*}$nginx -c $folder/nginx.conf -e $folder/error.log -p $folder]
    awaitThat "nginx on port $port" {![catch {close [socket 127.0.0.1 $port]}]}
    return $port
}
