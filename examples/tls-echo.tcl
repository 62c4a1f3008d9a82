# A TLS echo server on 127.0.0.1: tclsh tls-echo.tcl PORT CERT KEY
# CERT and KEY are PEM files. What differs from echo.tcl stands in two places:
# the section with the certificate, and -driver nsssl at the end.
package require ns_connchan

lassign $argv port certificate key
ns_section ns/module/nsssl {
    ns_param certificate $certificate
    ns_param key $key
}

proc accept {channel} {
    # The handshake is done.
    ns_connchan callback $channel [list echo $channel] r
    return 1                                    ;# keep the connection
}

proc echo {channel reason} {
    # A peer may go by closing (no data), by a reset or by sending what is not
    # TLS (both an error).
    if {[catch {ns_connchan read $channel} data]} {return 0}
    set length [string length $data]
    if {$length == 0} {return 0}
    if {[ns_connchan write $channel $data] < $length} {
        # The peer reads slowly. What it did not take yet is kept: read no
        # more from it until that has gone out.
        ns_connchan callback $channel [list drain $channel] w
    }
    return 1                                    ;# call again
}

proc drain {channel reason} {
    ns_connchan write $channel ""
    if {[dict get [ns_connchan status $channel] sendbuffer] == 0} {
        ns_connchan callback $channel [list echo $channel] r
    }
    return 1
}

ns_connchan listen -driver nsssl -bind 127.0.0.1 $port accept
puts ready
flush stdout
vwait forever
