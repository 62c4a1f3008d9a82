# socks-server.tcl -- the servers of socks.tcl:
#
#   tclsh socks-server.tcl PORT KIND THREADS ?CERT KEY?
#
# KIND is echo, tls, ws, or compute: an echo whose callback computes for 50 microseconds. THREADS is
# the number of reactor threads, 0 for callbacks in this thread's event loop.
package require ns_connchan

lassign $argv port kind threads certificate key

set words {
    proc accept {channel} {
        ns_connchan callback $channel [list echo $channel] r
        return 1
    }

    proc echo {channel reason} {
        if {[catch {ns_connchan read $channel} data]} {return 0}
        set length [string length $data]
        if {$length == 0} {return 0}
        if {[ns_connchan write $channel $data] < $length} {
            ns_connchan callback $channel [list drain $channel] w
        }
        return 1
    }

    proc drain {channel reason} {
        ns_connchan write $channel ""
        if {[dict get [ns_connchan status $channel] sendbuffer] == 0} {
            ns_connchan callback $channel [list echo $channel] r
        }
        return 1
    }

    # Computes for about 50 microseconds, and echoes.
    proc compute {channel reason} {
        set rounds $::rounds
        for {set i 0} {$i < $rounds} {incr i} {}
        return [echo $channel $reason]
    }

    proc acceptCompute {channel} {
        ns_connchan callback $channel [list compute $channel] r
        return 1
    }

    proc message {channel event data} {
        if {$event eq "text"} {
            ws::send $channel $data
        } elseif {$event eq "binary"} {
            ws::send -binary $channel $data
        }
    }
}

# How often the loop of `compute` goes round in 50 microseconds.
proc calibrate {} {
    set body {{rounds} {for {set i 0} {$i < $rounds} {incr i} {}}}
    apply $body 10000
    set best inf
    for {set i 0} {$i < 20} {incr i} {
        set best [expr {min($best, [lindex [time {apply $body 10000}] 0])}]
    }
    return [expr {round(50.0 / $best * 10000)}]
}

set rounds [expr {$kind eq "compute" ? [calibrate] : 0}]
eval $words
if {$threads > 0} {
    ns_socks configure -threads $threads -init "set rounds $rounds\n$words"
}
switch $kind {
    echo {ns_connchan listen -bind 127.0.0.1 $port accept}
    compute {ns_connchan listen -bind 127.0.0.1 $port acceptCompute}
    tls {
        ns_section ns/module/nsssl "ns_param certificate $certificate; ns_param key $key"
        ns_connchan listen -driver nsssl -bind 127.0.0.1 $port accept
    }
    ws {
        package require ws
        ws::listen $port message
    }
}
puts ready
flush stdout
vwait forever
