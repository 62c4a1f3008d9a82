# tls-fileevent-echo.tcl PORT CERT KEY: an echo server with the package tls (tcl-tls), the competitor in the
# TLS benchmarks.
#
# What fileevent-echo.tcl says about speed holds here too. Besides:
# - a socket gets its TLS layer by tls::import in a script of our own: tls::socket does the same through a
#   handful of further procs;
# - the handshake is made by the first reads, without tls::handshake and a callback of its own;
# - the peer is not asked for a certificate, which is what tls::import does by default;
# - buffers of 16 KiB, so that a message of that size is one SSL_read and one SSL_write. The socket below has
#   buffers of its own, and passes a read of tls on as it is.
#
# Every tls::import makes a context of its own and reads the certificate and the key again. The option -model,
# meant to share the context of another connection, makes no working servers in 1.7.22.

package require tls
lassign $argv port certificate key

proc accept {sock address port} {
    global options
    if {[catch {
        fconfigure $sock -blocking 0 -translation binary -buffering none -buffersize 16384
        tls::import $sock {*}$options
        fconfigure $sock -blocking 0 -translation binary -buffering none -buffersize 16384
        fileevent $sock readable [list echo $sock]
    }]} {
        catch {close $sock}
    }
}

proc echo {sock} {
    # A failed handshake or a reset make read fail, a peer that went away puts, and both may do so for close.
    if {[catch {
        set data [read $sock 16384]
        if {[string length $data]} {
            puts -nonewline $sock $data
        } elseif {[eof $sock]} {
            close $sock
        }
    }]} {
        catch {close $sock}
    }
}

set options [list -server 1 -request 0 -require 0 -certfile $certificate -keyfile $key]
socket -server accept -myaddr 127.0.0.1 $port
puts ready
flush stdout
vwait forever
