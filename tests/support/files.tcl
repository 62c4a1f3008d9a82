# files.tcl -- a server of files in a process of its own, curl as its client, nginx as its rival.
#
# The server is a tclsh that evaluates what it is told by [inServer]; so nobody waits for himself.

if {[info exists connectionThreads]} {
    return
}
source [file join $supportDirectory tls.tcl]
source [file join $supportDirectory ca.tcl]

testConstraint notRoot [expr {[exec id -u] != 0}]
testConstraint mkfifo [llength [auto_execok mkfifo]]

# A moment for files to have: Tue, 14 Nov 2023 22:13:20 GMT.
set then 1700000000
set thenDate "Tue, 14 Nov 2023 22:13:20 GMT"

# How many connection threads a server has; 0 for none.
set connectionThreads 0

# A folder with files, {name content ...}, all of that moment. It goes at the end of the test.
proc folder {args} {
    close [file tempfile name]
    file delete $name
    file mkdir $name
    lappend ::folders $name
    foreach {file content} $args {
        put $name/$file $content
    }
    return $name
}
set folders {}

# Writes a file, whatever bytes, with its folders.
proc put {name content {time ""}} {
    file mkdir [file dirname $name]
    set file [open $name wb]
    puts -nonewline $file $content
    close $file
    file mtime $name [expr {$time eq "" ? $::then : $time}]
}

proc binaryFile {name} {
    set file [open $name rb]
    set content [read $file]
    close $file
    return $content
}

proc foldersForget {} {
    foreach name $::folders {
        catch {exec chmod -R u+rwX $name}
        file delete -force $name
    }
    set ::folders {}
}

rename clearAway filesClearAway
proc clearAway {} {
    filesClearAway
    foldersForget
    unset -nocomplain ::theServer
}

# Starts a server for a folder after a script that configures it; sets the global variables url and
# port. Options: -tls 1, and those of ns_serve.
proc filesServe {folder {script ""} args} {
    set tls [expr {[dict exists $args -tls] && [dict get $args -tls]}]
    dict unset args -tls
    if {$tls} {
        lappend args -tls -cert [pem server.all]
    }
    if {$::connectionThreads} {
        # Procedures have to be where handlers run.
        lappend args -threads $::connectionThreads -init $script
    }
    set ::theServer [serverProcess [string map [list @FOLDER@ [list $folder] @SCRIPT@ $script @ARGS@ $args] {
        # Whatever is logged goes to a file that the test may look at.
        close [file tempfile logFile]
        ns_section ns/parameters
        ns_param systemlog $logFile
        @SCRIPT@
        set started [ns_serve @ARGS@ -pagedir @FOLDER@]
        proc obey {} {
            if {[gets stdin line] < 0} {
                exit
            }
            set failed [catch {uplevel #0 [encoding convertfrom utf-8 [bytes $line]]} result]
            puts "$failed [hex [encoding convertto utf-8 $result]]"
        }
        fileevent stdin readable obey
        puts [dict get $started url]
        vwait forever
    }]]
    set ::url [processLine $::theServer]
    regexp {:(\d+)$} $::url -> ::port
    return $::url
}

# What a script gives that is evaluated in the server.
proc inServer {script {seconds 20}} {
    lassign [processAsk $::theServer [hex [encoding convertto utf-8 $script]] $seconds] failed result
    set result [encoding convertfrom utf-8 [bytes $result]]
    if {$failed} {
        return -code error $result
    }
    return $result
}

# Whether the server's log has a line like that.
proc serverLog {pattern} {
    return [expr {[lsearch -glob [split [fileText [inServer {set logFile}]] \n] $pattern] >= 0}]
}

# What curl gets: a dict with status, fields (of the last response, names and values in a list) and
# body (bytes).
proc fetch {url args} {
    close [file tempfile head]
    close [file tempfile body]
    try {
        set code [catch {exec -keepnewline {*}[auto_execok curl] -sS --path-as-is --max-time 60 -D $head -o $body \
            -H Accept: -H User-Agent: --noproxy * {*}$args $url} message options]
        set heads [split [string trimright [string map {\r ""} [binaryFile $head]] \n] \n]
        set answer [dict create exit $code message $message status "" fields {} body [binaryFile $body]]
    } finally {
        file delete $head $body
    }
    if {"-I" in $args} {
        # There it stands for the head.
        dict set answer body ""
    }
    foreach line $heads {
        if {[regexp {^HTTP/\S+ (\d+)} $line -> status]} {
            dict set answer status $status
            dict set answer fields {}
        } elseif {[regexp {^([^:]+): ?(.*)$} $line -> name value]} {
            dict lappend answer fields $name $value
        }
    }
    return $answer
}

# Of an answer the status, the fields but for those of every response, and the body.
proc shown {answer} {
    set fields {}
    foreach {name value} [dict get $answer fields] {
        if {$name ni {connection date server}} {
            lappend fields "$name: $value"
        }
    }
    return [list [dict get $answer status] $fields [dict get $answer body]]
}

proc get {url args} {
    return [shown [fetch $url {*}$args]]
}

proc status {url args} {
    return [dict get [fetch $url {*}$args] status]
}

proc field {answer name} {
    set values {}
    foreach {own value} [dict get $answer fields] {
        if {[string equal -nocase $own $name]} {
            lappend values $value
        }
    }
    return [join $values " & "]
}

# All that comes back for bytes that are sent as they are, until the server ends the connection.
proc rawAsk {bytes {seconds 20}} {
    set socket [tclConnect $::port]
    peerWrite $socket $bytes
    set answer [peerReadAll $socket $seconds]
    close $socket
    return $answer
}

# Starts an nginx for a folder; its url.
proc nginxServe {folder {settings ""}} {
    set port [freePort]
    set work [folder]
    put $work/nginx.conf "
        daemon off; master_process off; pid $work/pid; error_log $work/error.log;
        events {worker_connections 512;}
        http {
            access_log off; keepalive_timeout 5s; etag off; default_type text/plain;
            client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/fastcgi;
            uwsgi_temp_path $work/uwsgi; scgi_temp_path $work/scgi;
            server {listen 127.0.0.1:$port; root $folder; if_modified_since before; $settings}
        }
    "
    set program [auto_execok nginx]
    if {$program eq ""} {
        set program /usr/sbin/nginx
    }
    processStart [list {*}$program -c $work/nginx.conf -e $work/error.log -p $work]
    awaitThat "nginx on port $port" {![catch {close [socket 127.0.0.1 $port]}]}
    return http://127.0.0.1:$port
}

# Runs the tests of another suite with connection threads; their names get "threads" behind the
# concept. Those that one of the patterns matches are left out.
proc runInThreads {file leftOut} {
    set ::leftOut $leftOut
    set ::connectionThreads 2
    rename test testInThreads
    rename filesLastTest filesLastTestInThreads
    proc filesLastTest {} {}
    proc test {name title args} {
        foreach pattern $::leftOut {
            if {[string match $pattern $name]} {
                return
            }
        }
        uplevel 1 [list testInThreads [regsub -- - $name threads-] $title {*}$args]
    }
    uplevel #0 [list source [file join $::supportDirectory .. $file]]
    rename test {}
    rename filesLastTest {}
    rename testInThreads test
    rename filesLastTestInThreads filesLastTest
}

# The last test of a file that sources this one.
proc filesLastTest {} {
    caForget
    lastTest
}
