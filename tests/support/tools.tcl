# tools.tcl -- the words that the suites, their child processes and their threads share.
#
# Waiting with a deadline, connected pairs of channels and plain Tcl sockets, peers in other
# processes, threads, and looking at the process from outside (descriptors, memory, CPU time).
# Nothing here needs tcltest, and nothing sleeps in the hope that something has happened meanwhile:
# every wait is for an event, has a deadline, and says what it waited for when that passes.

set supportDirectory [file dirname [file normalize [info script]]]

# What child processes, threads and other interpreters source; support files that build on this one
# add themselves.
set preludeFiles {load.tcl tools.tcl}

# The python peer: this one, or tlspeer.py, which knows TLS as well.
set pythonScript peer.py

## Notes: what callbacks leave behind for the test to look at

set notes {}

# Keeps its arguments, a list, as one note.
proc note {args} {
    lappend ::notes $args
}

# A callback: notes its other arguments (the last is the reason) and answers with result.
proc reply {result args} {
    lappend ::notes $args
    return $result
}

# A callback: notes the reason and what can be read, and answers with result.
proc take {result channel reason} {
    lappend ::notes [list $reason [ns_connchan read $channel]]
    return $result
}

# A callback: appends what can be read to the global variable; sets NAME(eof) at the end of file.
proc gather {varName channel reason} {
    set bytes [ns_connchan read $channel]
    if {$bytes eq ""} {
        set ::${varName}Eof 1
        return 2
    }
    append ::$varName $bytes
    return 1
}

# A callback: sends back what can be read, closes at the end of file or on any error.
proc echo {channel reason} {
    if {[catch {ns_connchan read $channel} bytes] || $bytes eq ""} {
        return 0
    }
    if {[catch {ns_connchan write $channel $bytes}]} {
        return 0
    }
    return 1
}

# An accept script: every accepted channel gets the callback {script channel} for reading.
proc serve {script channel} {
    ns_connchan callback $channel [list {*}$script $channel] r
    return 1
}

# An accept script: keeps the channel and appends its name to the global variable.
proc acceptInto {varName channel} {
    lappend ::$varName $channel
    return 1
}

## Waiting

set awaited 0
set awaitSerial 0

# Waits until the condition holds in the caller's scope; it is looked at whenever one of the global
# variables is written, so a wait adds no timer events of its own but the guard.
proc awaitWritten {what varNames condition {seconds 10}} {
    set id [incr ::awaitSerial]
    set wake {apply {{args} {incr ::awaited}}}
    set ::awaitExpired($id) 0
    set guard [after [expr {round($seconds * 1000)}] "set ::awaitExpired($id) 1; incr ::awaited"]
    foreach varName $varNames {
        trace add variable ::$varName write $wake
    }
    try {
        while {![uplevel 1 [list expr $condition]]} {
            if {$::awaitExpired($id)} {
                return -code error -errorcode {TEST DEADLINE} "waited $seconds s in vain for $what"
            }
            vwait ::awaited
        }
    } finally {
        after cancel $guard
        unset ::awaitExpired($id)
        foreach varName $varNames {
            trace remove variable ::$varName write $wake
        }
    }
    return
}

# Waits until the global variable exists, and returns its value.
proc await {varName {seconds 10}} {
    awaitWritten "the variable $varName" [list $varName] {[info exists ::$varName]} $seconds
    return [set ::$varName]
}

# Waits until there are at least count notes, and returns all of them.
proc awaitNotes {count {seconds 10}} {
    if {[catch {
        awaitWritten "$count notes" notes {[llength $::notes] >= $count} $seconds
    } message options]} {
        return -options $options "$message, got: $::notes"
    }
    return $::notes
}

# Waits until the condition holds in the caller's scope; for what no variable tells (a file below
# /proc, a channel closed by another thread). It is looked at every few milliseconds.
proc awaitThat {what condition {seconds 10}} {
    set deadline [expr {[clock milliseconds] + round($seconds * 1000)}]
    while {![uplevel 1 [list expr $condition]]} {
        if {[clock milliseconds] >= $deadline} {
            return -code error -errorcode {TEST DEADLINE} "waited $seconds s in vain for $what"
        }
        after 5 {incr ::awaited}
        vwait ::awaited
    }
    return
}

# Runs the event loop for that long: for tests where the time itself is what is waited for.
proc runFor {milliseconds} {
    set id [incr ::awaitSerial]
    after $milliseconds "set ::awaitExpired($id) 1; incr ::awaited"
    while {![info exists ::awaitExpired($id)]} {
        vwait ::awaited
    }
    unset ::awaitExpired($id)
    return
}

# Three round trips over a channel made for it: whatever was ready when this was called has had its
# turn when it returns. So a test can say that something did NOT happen.
proc settle {} {
    lassign [listenPair] a b listener
    for {set round 0} {$round < 3} {incr round} {
        unset -nocomplain ::settled
        ns_connchan callback $a [list settleRound $a] r
        ns_connchan write $b .
        await settled
    }
    foreach channel [list $a $b $listener] {
        ns_connchan close $channel
    }
    return
}

proc settleRound {channel reason} {
    set ::settled [ns_connchan read $channel]
    return 2
}

# Milliseconds that the script took, in the caller's scope.
proc millisecondsFor {script} {
    set start [clock milliseconds]
    uplevel 1 $script
    return [expr {[clock milliseconds] - $start}]
}

# A port of 127.0.0.1 that nobody uses, for a program that cannot choose one itself. Not from the range that
# the kernel gives to others at any moment.
proc freePort {} {
    while 1 {
        set port [expr {10000 + int(rand() * 20000)}]
        if {![catch {socket -server list -myaddr 127.0.0.1 $port} server]} {
            close $server
            return $port
        }
    }
}

## Connected pairs. A peer is a plain Tcl socket, blocking, unbuffered, binary.

# {channel peer}: the channel was made by connect.
proc connectedPair {} {
    lassign [tclListener] server port
    set channel [ns_connchan connect -timeout 5 127.0.0.1 $port]
    set peer [tclAccept $server]
    close $server
    return [list $channel $peer]
}

# {channel peer listener}: the channel was accepted by a listener of ours.
proc acceptedPair {} {
    lassign [openListener {acceptInto pairAccepted}] listener port
    set ::pairAccepted {}
    set peer [tclConnect $port]
    awaitWritten "an accepted channel" pairAccepted {[llength $::pairAccepted]}
    return [list [lindex $::pairAccepted 0] $peer $listener]
}

# {accepted connected listener}: both ends are channels of ours.
proc listenPair {} {
    lassign [openListener {acceptInto pairAccepted}] listener port
    set ::pairAccepted {}
    set connected [ns_connchan connect -timeout 5 127.0.0.1 $port]
    awaitWritten "an accepted channel" pairAccepted {[llength $::pairAccepted]}
    return [list [lindex $::pairAccepted 0] $connected $listener]
}

# {listener port}: a listener of ours on 127.0.0.1.
proc openListener {script} {
    set result [ns_connchan listen -bind 127.0.0.1 0 $script]
    return [list [dict get $result channel] [dict get $result port]]
}

# {server port}: a listening Tcl socket; tclAccept gives its connections.
proc tclListener {{address 127.0.0.1}} {
    set server [socket -server tclAccepted -myaddr $address 0]
    set port [lindex [fconfigure $server -sockname] 2]
    set ::tclQueue {}
    return [list $server $port]
}

proc tclAccepted {socket host port} {
    fconfigure $socket -translation binary -buffering none -buffersize 100000
    lappend ::tclQueue $socket
}

# The next connection that came in at the Tcl socket.
proc tclAccept {server} {
    awaitWritten "a connection to $server" tclQueue {[llength $::tclQueue]}
    set ::tclQueue [lassign $::tclQueue peer]
    return $peer
}

proc tclConnect {port {host 127.0.0.1}} {
    set peer [socket $host $port]
    fconfigure $peer -translation binary -buffering none -buffersize 100000
    return $peer
}

proc peerWrite {peer bytes} {
    puts -nonewline $peer $bytes
    flush $peer
}

# Exactly count bytes from the peer's end.
proc peerRead {peer count {seconds 10}} {
    return [peerCollect $peer $count "$count bytes from $peer" $seconds]
}

# Everything until the channel's side ends the connection.
proc peerReadAll {peer {seconds 10}} {
    return [peerCollect $peer -1 "the end of file from $peer" $seconds]
}

# 1 once the peer sees the end of the connection, with nothing before it.
proc peerEof {peer {seconds 10}} {
    return [expr {[peerReadAll $peer $seconds] eq ""}]
}

proc peerCollect {peer count what seconds} {
    set ::peerBytes($peer) ""
    unset -nocomplain ::peerDone($peer)
    fconfigure $peer -blocking 0
    fileevent $peer readable [list peerReadable $peer $count]
    try {
        awaitWritten $what [list peerDone($peer)] {[info exists ::peerDone($peer)]} $seconds
    } on error {message options} {
        return -options $options "$message, got [string length $::peerBytes($peer)] bytes:\
            [string range $::peerBytes($peer) 0 99]"
    } finally {
        fileevent $peer readable {}
        fconfigure $peer -blocking 1
    }
    return $::peerBytes($peer)
}

proc peerReadable {peer count} {
    if {$count < 0} {
        set failed [catch {read $peer} bytes]
    } else {
        set failed [catch {read $peer [expr {$count - [string length $::peerBytes($peer)]}]} bytes]
    }
    if {!$failed} {
        append ::peerBytes($peer) $bytes
    }
    if {$failed || [eof $peer] || [string length $::peerBytes($peer)] == $count} {
        fileevent $peer readable {}
        set ::peerDone($peer) 1
    }
}

proc hex {bytes} {
    return [binary encode hex $bytes]
}

proc bytes {hex} {
    return [binary decode hex $hex]
}

# A byte string of that length in which every place can be told from its neighbours.
proc pattern {length {salt 0}} {
    set block ""
    for {set i 0} {$i < 251} {incr i} {
        append block [format %c [expr {($i + $salt) % 251}]]
    }
    set text [string repeat $block [expr {$length / 251 + 1}]]
    return [encoding convertto iso8859-1 [string range $text 0 [expr {$length - 1}]]]
}

## Other processes

# Starts a command with its standard input and output on a pipe, and returns a handle.
proc processStart {command} {
    close [file tempfile errorsFile]
    set process [open |[list {*}$command 2> $errorsFile] r+]
    fconfigure $process -blocking 0 -buffering line -translation lf
    set ::processErrorsFile($process) $errorsFile
    set ::processFiles($process) [list $errorsFile]
    set ::processLines($process) {}
    set ::processEnded($process) 0
    lappend ::processes $process
    fileevent $process readable [list processReadable $process]
    return $process
}

set processes {}

proc processReadable {process} {
    while {[gets $process line] >= 0} {
        lappend ::processLines($process) $line
    }
    if {[eof $process]} {
        fileevent $process readable {}
        set ::processEnded($process) 1
    }
}

# The next line that the process printed.
proc processLine {process {seconds 20}} {
    awaitWritten "a line of [processName $process]" \
        [list processLines($process) processEnded($process)] \
        {[llength $::processLines($process)] || $::processEnded($process)} $seconds
    if {![llength $::processLines($process)]} {
        error "[processName $process] ended: [processErrors $process]"
    }
    set ::processLines($process) [lassign $::processLines($process) line]
    return $line
}

# Sends a line and returns the next one that comes back.
proc processAsk {process line {seconds 20}} {
    puts $process $line
    return [processLine $process $seconds]
}

proc processErrors {process} {
    return [fileText $::processErrorsFile($process)]
}

proc processName {process} {
    return "process [pid $process]"
}

# Kills the process and returns what it wrote to standard error.
proc processStop {process} {
    set ::processes [lsearch -all -inline -not -exact $::processes $process]
    fileevent $process readable {}
    catch {exec kill -KILL {*}[pid $process]}
    fconfigure $process -blocking 1
    catch {close $process}
    set errors [processErrors $process]
    file delete {*}$::processFiles($process)
    foreach array {processErrorsFile processFiles processLines processEnded} {
        unset ::${array}($process)
    }
    return $errors
}

proc fileText {name} {
    set file [open $name]
    set text [read $file]
    close $file
    return $text
}

proc scriptFile {script} {
    set file [file tempfile name .tcl]
    puts $file $script
    close $file
    return $name
}

# The script of a child process that has the package and the words of this file.
proc childScript {script} {
    set prelude {}
    foreach name $::preludeFiles {
        append prelude [list source [file join $::supportDirectory $name]] \n
    }
    return $prelude$script
}

# The command that runs a script file in the same tclsh, under another limit of descriptors if one
# is given.
proc tclshCommand {scriptFile {descriptors {}}} {
    set command [list [info nameofexecutable] $scriptFile]
    if {$descriptors ne ""} {
        set command [list sh -c "ulimit -n $descriptors && exec \"\$@\"" sh {*}$command]
    }
    return $command
}

# Starts a script as a process that goes on; it talks by lines.
proc serverProcess {script {descriptors {}}} {
    set name [scriptFile "fconfigure stdout -buffering line\n[childScript $script]"]
    set process [processStart [tclshCommand $name $descriptors]]
    lappend ::processFiles($process) $name
    return $process
}

# Runs a script in a process of its own until it ends, and returns a dict: status (the exit code, the
# name of the signal that killed it, or DEADLINE), stdout, stderr. Options: -seconds the deadline,
# -bare 1 to have neither the package nor this file in it, -descriptors the limit.
proc child {script args} {
    set settings [dict merge {-seconds 20 -bare 0 -descriptors {}} $args]
    if {![dict get $settings -bare]} {
        set script [childScript $script]
    }
    set name [scriptFile $script]
    set process [processStart [tclshCommand $name [dict get $settings -descriptors]]]
    set seconds [dict get $settings -seconds]
    set deadline [expr {[clock milliseconds] + round($seconds * 1000)}]
    set status 0
    try {
        awaitWritten "the end of a child" [list processEnded($process)] \
            {$::processEnded($process)} $seconds
        # The output has ended; now the process itself must. It may still hang in its last moments.
        awaitThat "the exit of a child" {[processIsOver [pid $process]]} \
            [expr {max(1, ($deadline - [clock milliseconds]) / 1000.0)}]
    } trap {TEST DEADLINE} {} {
        set status DEADLINE
        catch {exec kill -KILL {*}[pid $process]}
    }
    set output [join $::processLines($process) \n]
    set errors [processErrors $process]
    fileevent $process readable {}
    fconfigure $process -blocking 1
    try {
        close $process
    } trap CHILDSTATUS {- options} {
        set status [lindex [dict get $options -errorcode] 2]
    } trap CHILDKILLED {- options} {
        if {$status eq "0"} {
            set status [lindex [dict get $options -errorcode] 2]
        }
    }
    set ::processes [lsearch -all -inline -not -exact $::processes $process]
    file delete $name {*}$::processFiles($process)
    foreach array {processErrorsFile processFiles processLines processEnded} {
        unset ::${array}($process)
    }
    return [dict create status $status stdout $output stderr $errors]
}

# What the child printed, when it ended well and wrote nothing to standard error; else an error that
# shows both.
proc childOutput {script args} {
    set ended [child $script {*}$args]
    if {[dict get $ended status] ne "0" || [dict get $ended stderr] ne ""} {
        error "child ended with status [dict get $ended status],\
            stderr: [dict get $ended stderr], stdout: [dict get $ended stdout]"
    }
    return [dict get $ended stdout]
}

proc processIsOver {pid} {
    if {![file isdirectory /proc/self]} {
        return 1
    }
    if {[catch {fileText /proc/$pid/stat} stat]} {
        return 1
    }
    return [expr {[lindex [afterName $stat] 0] in {Z X}}]
}

# The fields of /proc/PID/stat that follow the program's name, which may contain anything.
proc afterName {stat} {
    return [string range $stat [string last ) $stat]+2 end]
}

# Asks the python peer (peer.py), which is started when first needed; see there for its commands.
proc python {args} {
    if {![info exists ::pythonPeer]} {
        set ::pythonPeer [processStart [list {*}[auto_execok python3] -B -u \
            [file join $::supportDirectory $::pythonScript]]]
    }
    set answer [processAsk $::pythonPeer [join $args " "] 60]
    if {[string match "ok*" $answer]} {
        return [string range $answer 3 end]
    }
    error "peer.py: [join $args { }]: $answer [processErrors $::pythonPeer]"
}

proc pythonStop {} {
    if {[info exists ::pythonPeer]} {
        processStop $::pythonPeer
        unset ::pythonPeer
    }
}

# {channel name}: a channel of ours connected to the python peer, whose end has that name.
proc pythonPair {name} {
    set port [python listen $name.listener]
    set channel [ns_connchan connect -timeout 5 127.0.0.1 $port]
    python accept $name $name.listener
    return [list $channel $name]
}

## Threads

# Starts a thread that has the package and this file and sits in its event loop.
proc threadStart {} {
    set tid [thread::create -joinable {thread::wait}]
    set here [list $::supportDirectory]
    threadDo $tid "set ::thisThread \[thread::id\]"
    foreach name $::preludeFiles {
        threadDo $tid "source \[file join $here $name\]"
    }
    return $tid
}

# Runs the script in the thread, at global level, and returns its result; meanwhile the caller's
# event loop runs.
proc threadDo {tid script {seconds 20}} {
    set slot threadAnswer([incr ::threadSerial])
    thread::send -async $tid [list apply {{script} {
        list [catch {uplevel #0 $script} result options] $result $options
    }} $script] ::$slot
    awaitWritten "the answer of thread $tid" [list $slot] {[info exists ::$slot]} $seconds
    lassign [set ::$slot] code result options
    unset ::$slot
    if {$code == 0} {
        return $result
    }
    return -code error -errorcode [dict get $options -errorcode] $result
}

proc threadPost {tid script} {
    thread::send -async $tid [list uplevel #0 $script]
    return
}

# Ends the thread and waits until it has gone.
proc threadEnd {tid {seconds 20}} {
    thread::release $tid
    awaitThat "the end of thread $tid" {![thread::exists $tid]} $seconds
    thread::join $tid
    return
}

# Runs the script with the variables set to threads that live as long as it takes.
proc withThread {varNames script} {
    set tids {}
    foreach varName $varNames {
        upvar 1 $varName tid
        set tid [threadStart]
        lappend tids $tid
    }
    try {
        uplevel 1 $script
    } finally {
        foreach tid $tids {
            threadEnd $tid
        }
    }
}

## The process seen from outside (Linux)

proc descriptorCount {{pid self}} {
    return [llength [glob -nocomplain -directory /proc/$pid/fd *]]
}

proc statusKilobytes {pid field} {
    regexp -line "^$field:\\s+(\\d+)" [fileText /proc/$pid/status] - kilobytes
    return $kilobytes
}

proc residentKilobytes {{pid self}} {
    return [statusKilobytes $pid VmRSS]
}

proc peakKilobytes {{pid self}} {
    return [statusKilobytes $pid VmHWM]
}

# CPU time used so far, in milliseconds (steps of 10).
proc cpuMilliseconds {{pid self}} {
    set fields [afterName [fileText /proc/$pid/stat]]
    return [expr {([lindex $fields 11] + [lindex $fields 12]) * 10}]
}
