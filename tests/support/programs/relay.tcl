# relay.tcl -- messages to pages that wait, as OpenACS relays them: a request becomes a connection that
# others write to, server-sent events or chunks, whichever thread they run in. No callback is
# registered; who has gone is noticed when something is written.

namespace eval ::relay {}

# Takes the present request over for the messages of a key.
proc ::relay::subscribe {key {mode sse}} {
    set channel [ns_connchan detach]
    set type [expr {$mode eq "sse" ? "text/event-stream" : "text/plain; charset=utf-8"}]
    set head "HTTP/1.1 200 OK\r\nCache-Control: no-cache\r\nContent-Type: $type\r\n"
    if {$mode eq "chunked"} {
        append head "Transfer-Encoding: chunked\r\n"
    }
    ns_connchan write $channel $head\r\n
    nsv_set relay_$key $channel $mode
    return $channel
}

# Sends a message to all that wait for it; how many were reached.
proc ::relay::send {key text} {
    set reached 0
    foreach channel [nsv_array names relay_$key] {
        if {![nsv_get relay_$key $channel mode]} {
            continue
        }
        set bytes [encoding convertto utf-8 $text]
        if {$mode eq "sse"} {
            set data "data: [string map {\n "\ndata: "} $bytes]\n\n"
        } else {
            set data "[format %x [string length $bytes]]\r\n$bytes\r\n"
        }
        if {[catch {ns_connchan write $channel $data} message]} {
            ns_log Notice "relay: $channel: $message"
            catch {ns_connchan close $channel}
            catch {nsv_unset relay_$key $channel}
        } else {
            incr reached
        }
    }
    return $reached
}

ns_register_proc GET /relay/subscribe {::relay::subscribe news sse}
ns_register_proc GET /relay/chunks {::relay::subscribe news chunked}
ns_register_proc POST /relay/send {
    ns_return 200 text/plain [::relay::send news [ns_conn content]]
}
