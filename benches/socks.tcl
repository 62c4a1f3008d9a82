# socks.tcl -- callbacks in reactor threads (ns_socks) beside the attached way:
#
#   tclsh socks.tcl LOAD ?rounds? ?seconds?
#
# LOAD is the command of the load generator (`bench load`), which measures the servers of a line in
# turns, a slice each, and counts the processor time of the servers. Requests a second depend on what
# else the processors do, the load generator not least; processor time for a request does not, or
# hardly. So `scaling` is by processor time: what two threads can do, each on a processor of its own,
# of what one can.

set load [lindex $argv 0]
lassign [concat [lrange $argv 1 end] [lrange {3 2} [expr {[llength $argv] - 1}] end]] rounds seconds
set here [file dirname [file normalize [info script]]]

set scenarios {
    {64-byte echo}              echo    {size=64 conns=50}
    {16 KiB echo}               echo    {size=16384 conns=50}
    {TLS, 16 KiB echo}          tls     {size=16384 conns=50 tls}
    {WebSocket, 16 KiB echo}    ws      {size=16384 conns=50 ws}
    {50 us of computing}        compute {size=64 conns=50}
}
set servers {0 1 2}

proc certificate {} {
    close [file tempfile certificate .pem]
    close [file tempfile key .key]
    exec openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
        -subj /CN=localhost -keyout $key -out $certificate 2>/dev/null
    return [list $certificate $key]
}

proc freePort {} {
    set socket [socket -server list -myaddr 127.0.0.1 0]
    set port [lindex [fconfigure $socket -sockname] 2]
    close $socket
    return $port
}

# {pipe pid port}
proc start {kind threads files} {
    set port [freePort]
    set pipe [open |[list [info nameofexecutable] [file join $::here socks-server.tcl] $port $kind $threads {*}$files] r]
    if {[gets $pipe] ne "ready"} {
        error "the server $kind $threads does not start"
    }
    return [list $pipe [pid $pipe] $port]
}

proc median {values} {
    return [lindex [lsort -real $values] [expr {[llength $values] / 2}]]
}

set files [certificate]
puts "reactor threads, Tcl [info patchlevel], $rounds rounds of $seconds s"
puts [format "%-26s %10s %12s %12s %10s" "" threads requests/s "us of server" scaling]
foreach {title kind arguments} $scenarios {
    set running [lmap threads $servers {start $kind $threads $files}]
    set ports [join [lmap server $running {lindex $server 2}] ,]
    set pids [join [lmap server $running {lindex $server 1}] ,]
    array unset rates
    array unset costs
    for {set round 0} {$round < $rounds} {incr round} {
        set lines [split [exec {*}$load echo port=$ports pid=$pids seconds=$seconds warmup=0.3 passes=20 {*}$arguments] \n]
        foreach threads $servers line $lines {
            set results $line
            lappend rates($threads) [dict get $results requests_per_second]
            lappend costs($threads) [expr {[dict get $results server_cpu_seconds] / [dict get $results count] * 1e6}]
        }
    }
    foreach server $running {
        exec kill [lindex $server 1]
        catch {close [lindex $server 0]}
    }
    foreach threads $servers {
        # Of the attached way, whose thread is one.
        set scaling [expr {max(1, $threads) * [median $costs(1)] / [median $costs($threads)]}]
        puts [format "%-26s %10s %12.0f %12.2f %10.2f" $title [expr {$threads ? $threads : "attached"}] \
            [median $rates($threads)] [median $costs($threads)] $scaling]
        set title ""
    }
}
file delete {*}$files
