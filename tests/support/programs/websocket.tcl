# websocket.tcl -- a WebSocket module as NaviServer has one: server, groups of subscribers, client, and
# an echo service at /websocket/echo. To be sourced once a process; it needs nsf.tcl before.

namespace eval ::ws {
    variable guid 258EAFA5-E914-47DA-95CA-C5AB0DC85B11
    # The usage text tells whether channels know frames.
    catch {ns_connchan read "" ""} usage
    variable framesKnown [string match *-websocket* $usage]
    unset usage
}

ns_logctl severity Debug(ws) false
if {![nsv_exists ws subscription_mutex]} {
    nsv_set ws subscription_mutex [ns_mutex create ws_subscriptions]
}

nsf::proc ::ws::log {args} {
    ns_log Debug(ws) {*}$args
}

## Server

# Answers the present request by the opening handshake and takes its connection over. The callback is
# called with channel and message for each text. Returns the channel, or nothing when the request is
# none for an upgrade: it is then answered by an empty page.
nsf::proc ::ws::handshake {{-protocols ""} -callback} {
    set headers [ns_conn headers]
    if {![string equal -nocase [ns_set iget $headers upgrade] websocket]} {
        ns_write "HTTP/1.0 200 OK\r\nContent-type: text/plain\r\n\r\n"
        return ""
    }
    set accept [ns_crypto::md string -digest sha1 -encoding base64 \
        [ns_set iget $headers sec-websocket-key]$::ws::guid]
    set fields "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: $accept\r\n"
    set protocol [lindex [ns_set iget $headers sec-websocket-protocol] 0]
    if {$protocol ne ""} {
        append fields "Sec-WebSocket-Protocol: $protocol\r\n"
    }
    ns_write "HTTP/1.1 101 Switching Protocols\r\n$fields\r\n"
    set channel [ns_connchan detach]
    ::ws::log "handshake of $channel" " with " [ns_conn peeraddr]
    # No leading colons: it is called at global level.
    ns_connchan callback -timeout 1h -receivetimeout 5s $channel [list ws::io $channel $callback] rex
    return $channel
}

# Something has happened on a channel.
nsf::proc ::ws::io {channel callback condition} {
    if {$condition ne "r"} {
        ::ws::log "$channel ends: $condition"
        return 0
    }
    while 1 {
        try {
            set result [ns_connchan read -websocket $channel]
        } trap {POSIX ECONNRESET} {} {
            return 0
        } on error {message} {
            ns_log Warning "ws: read of $channel: $message ($::errorCode)"
            return 0
        }
        switch [dict get $result frame] {
            incomplete {
                if {[dict get $result bytes] == 0} {
                    return 0
                }
                ns_log Warning "ws: $channel: need more data ([dict get $result unprocessed] bytes so far)"
                return 1
            }
            exception {
                return 0
            }
        }
        if {[dict get $result fin] && ![::ws::frame $channel $callback \
                [dict get $result opcode] [dict get $result payload]]} {
            return 0
        }
        if {![dict get $result havedata]} {
            return 1
        }
    }
}

# A frame has come whole; whether the connection goes on.
nsf::proc ::ws::frame {channel callback opcode payload} {
    switch $opcode {
        1 - 2 {
            {*}$callback $channel [encoding convertfrom utf-8 $payload]
        }
        8 {
            return 0
        }
        9 {
            ns_connchan write $channel [ns_connchan wsencode -opcode pong PONG]
        }
    }
    return 1
}

# Sends a text; the number of bytes that went out at once. What is left is sent when there is room.
nsf::proc ::ws::send {channel text} {
    return [ns_connchan write $channel [ns_connchan wsencode -opcode text $text]]
}

## Groups

nsf::proc ::ws::subscribe {channel group} {
    ns_mutex eval [nsv_get ws subscription_mutex] {
        nsv_lappend ws multicast-$group $channel
    }
}

nsf::proc ::ws::unsubscribe {channel group} {
    ns_mutex eval [nsv_get ws subscription_mutex] {
        if {[nsv_get ws multicast-$group channels]} {
            set at [lsearch -exact $channels $channel]
            if {$at >= 0} {
                nsv_set ws multicast-$group [lreplace $channels $at $at]
            }
        }
    }
}

nsf::proc ::ws::subscribers {group} {
    return [expr {[nsv_get ws multicast-$group channels] ? $channels : {}}]
}

# Sends a text to all of a group; those that cannot be reached leave it.
nsf::proc ::ws::multicast {{-exclude ""} group text} {
    set frame [ns_connchan wsencode -opcode text $text]
    foreach channel [::ws::subscribers $group] {
        if {$channel in $exclude} {
            continue
        }
        try {
            ns_connchan write $channel $frame
        } on error {message} {
            ns_log Warning "ws: multicast to <$channel>: $message"
            ::ws::unsubscribe $channel $group
        }
    }
}

nsf::proc -deprecated ::ws::build_msg {-upper:switch text} {
    return [expr {$upper ? [string toupper $text] : $text}]
}

## Client

namespace eval ::ws::client {}

# Connects to a ws:// or wss:// URL; the channel.
nsf::proc ::ws::client::open {{-timeout 5s} -insecure:switch url} {
    set parts [ns_parseurl $url]
    if {![dict exists $parts proto] || [dict get $parts proto] ni {ws wss}} {
        error "protocol must be ws:// or wss://"
    }
    set host [dict get $parts host]
    set port [expr {[dict exists $parts port] ? ":[dict get $parts port]" : ""}]
    set path /[string trimleft [dict get $parts path]/[dict get $parts tail] /]
    set key [ns_crypto::randombytes -encoding base64 16]
    set headers [ns_set create headers \
        Host $host$port Upgrade websocket Connection Upgrade \
        Sec-WebSocket-Key $key Sec-WebSocket-Version 13]
    set scheme [string map {ws http} [dict get $parts proto]]
    set channel [ns_connchan open -timeout $timeout -version 1.1 -headers $headers \
        {*}[expr {$insecure ? "-insecure" : ""}] $scheme://$host$port$path]
    # The answer comes whole: it is small.
    set answer [ns_connchan read $channel]
    set lines [split [string map {\r\n \n} $answer] \n]
    set fields [ns_set create -nocase answer]
    foreach line [lrange $lines 1 end] {
        # What is no field, such as a page, is an error.
        if {[set line [string trimright $line]] ne ""} {
            ns_parseheader $fields $line
        }
    }
    set expected [ns_crypto::md string -digest sha1 -encoding base64 $key$::ws::guid]
    if {![string match "HTTP/1.1 101 *" $answer] || [ns_set get $fields sec-websocket-accept] ne $expected} {
        ns_connchan close $channel
        error "no WebSocket at $url: [lindex $lines 0]"
    }
    return $channel
}

nsf::proc ::ws::client::send {channel text} {
    set sent [ns_connchan write $channel [ns_connchan wsencode -mask -opcode text $text]]
    while {[dict get [ns_connchan status $channel] sendbuffer] > 0} {
        ns_sleep 1ms
        incr sent [ns_connchan write $channel ""]
    }
    return $sent
}

# Waits for a message.
nsf::proc ::ws::client::receive {channel} {
    while 1 {
        set result [ns_connchan read -websocket $channel]
        if {[dict get $result frame] eq "incomplete" && [dict get $result bytes] == 0} {
            error "connection closed"
        }
        if {[dict get $result frame] eq "complete" && [dict get $result fin]
            && [dict get $result opcode] in {1 2}} {
            return [encoding convertfrom utf-8 [dict get $result payload]]
        }
    }
}

nsf::proc ::ws::client::close {channel} {
    ns_connchan close $channel
}

## The echo service

namespace eval ::ws::echo {}

nsf::proc ::ws::echo::connect {} {
    ::ws::handshake -callback ::ws::send
}

ns_register_proc GET /websocket/echo ::ws::echo::connect
