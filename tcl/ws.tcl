# ws.tcl -- WebSocket servers and clients over ns_connchan channels.
#
# The hot paths are commands of the library: ws::send, ws::ping, ws::close, ws::subscribe,
# ws::unsubscribe, ws::subscribers, ws::topics, ws::multicast. Here is what is done once a
# connection: listening, opening, connecting again.

package require ns_connchan
ns_connchan::family ws

namespace eval ::ws {
    namespace eval client {
        # Connections that are opened anew when they are lost, by id: options, delay and most (ms),
        # timer while none is being opened, closed (0 or 1), the channel that scripts know and the one
        # there is now. And the id by each of these channels.
        variable kept
        variable ids
        variable serial 0
        array set kept {}
        array set ids {}
    }
    # Options of both ends, and of each; their values go to ws::Settings under the same name.
    variable common {
        -compression -level -threshold -maxframe -maxmessage -ping -pongwait -highwater -maxbuffer
        -handshakewait -closewait -protocols -headers
    }
    variable server {-path -origins}
}

# Takes options off the front of a list of words. `valued` and `flags` are the names that are
# allowed, `count` is the number of words behind them. Returns a dictionary of the options and the
# words that are left.
proc ::ws::Options {usage valued flags count words} {
    set options {}
    while {[llength $words] > $count || [lindex $words 0] eq "--"} {
        set word [lindex $words 0]
        if {$word eq "--"} {
            set words [lrange $words 1 end]
            break
        } elseif {$word in $flags} {
            dict set options $word 1
            set words [lrange $words 1 end]
        } elseif {$word in $valued} {
            dict set options $word [lindex $words 1]
            set words [lrange $words 2 end]
        } elseif {[string match -* $word]} {
            set names [lsort [concat $valued $flags]]
            return -code error -level 2 -errorcode [list TCL LOOKUP INDEX option $word] \
                "bad option \"$word\": must be [join [lrange $names 0 end-1] {, }], or [lindex $names end]"
        } else {
            break
        }
    }
    if {[llength $words] != $count} {
        return -code error -level 2 -errorcode {TCL WRONGARGS} "wrong # args: should be \"$usage\""
    }
    return [list $options $words]
}

# The settings for ws::Attach from a dictionary of options.
proc ::ws::SettingsFrom {role names options} {
    set settings [dict create role $role]
    foreach name $names {
        if {[dict exists $options $name]} {
            dict set settings [string range $name 1 end] [dict get $options $name]
        }
    }
    if {[catch {Settings $settings} message failure]} {
        return -code error -level 2 -errorcode [dict get $failure -errorcode] $message
    }
    return $settings
}

# Listens for WebSocket connections. For each event of each connection the callback is called with
# channel, event and data appended: open (data: dictionary of the request), text and binary (the
# message), pong, drain, close (code and reason). Returns the dictionary of ns_connchan listen.
#
#   ws::listen ?options? port callback
#
# Options: -address (127.0.0.1; * for all), -tls 0|1, -driver name; -path pattern, -origins patterns,
# -protocols list; -authorize cmd, called with channel and request, whether to accept; -http cmd,
# called with channel and request for all other requests: a list of status, content type, body and
# perhaps header fields; -compression, -maxframe, -maxmessage, -ping, ... (ws(n)).
proc ::ws::listen {args} {
    variable common
    variable server
    set usage "ws::listen ?options? port callback"
    set own {-address -tls -driver -authorize -http}
    lassign [Options $usage [concat $own $common $server] {} 2 $args] options words
    lassign $words port callback
    set defaults {-address 127.0.0.1 -tls 0 -authorize {} -http {}}
    set options [dict merge $defaults $options]
    set settings [SettingsFrom server [concat $common $server] $options]
    set driver {}
    if {[dict exists $options -driver]} {
        set driver [list -driver [dict get $options -driver]]
    } elseif {[dict get $options -tls]} {
        set driver {-driver nsssl}
    }
    set accept [list ::ws::Accept $settings $callback \
        [dict get $options -authorize] [dict get $options -http]]
    return [ns_connchan listen {*}$driver -bind -- [dict get $options -address] $port $accept]
}

proc ::ws::Accept {settings callback authorize http channel} {
    Attach $channel $settings $callback $authorize $http
    return 1
}

# Makes a WebSocket of a channel whose HTTP request has been read already, such as a detached one:
# answers the request, and calls the callback as ws::listen does. `headers` are the request's, as a
# list of names and values or as an ns_set. Returns the channel; when the request was refused, which
# the client is told then, an empty string.
#
#   ws::handshake ?options? channel headers callback
#
# Options: -method (GET), -target (/), -version (1.1), and those of ws::listen for connections.
proc ::ws::handshake {args} {
    variable common
    variable server
    set usage "ws::handshake ?options? channel headers callback"
    set own {-method -target -version}
    lassign [Options $usage [concat $own $common $server] {} 3 $args] options words
    lassign $words channel headers callback
    set options [dict merge {-method GET -target / -version 1.1} $options]
    set settings [SettingsFrom server [concat $common $server] $options]
    if {[llength $headers] == 1} {
        set headers [ns_set array $headers]
    }
    set request [list [dict get $options -method] [dict get $options -target] \
        [dict get $options -version] $headers]
    return [expr {[Attach $channel $settings $callback {} {} $request] ? $channel : ""}]
}

# What a URL leads to: tls (0 or 1), host, port, the Host header and the target.
proc ::ws::client::Parse {url} {
    if {![regexp -nocase {^wss?://} $url]} {
        return -code error -level 2 -errorcode {WEBSOCKET URL} "protocol must be ws:// or wss://"
    }
    if {[regexp {^[^/]*//[^/?#]*@} $url]} {
        return -code error -level 2 -errorcode {WEBSOCKET URL} \
            "no user in a WebSocket URL: use -headers {Authorization ...}"
    }
    set form {^(wss?)://(\[[^]/?#]+\]|[^:/?#\[]+)(?::(\d{1,5}))?([/?][^#]*)?(?:#.*)?$}
    if {![regexp -nocase $form $url - scheme host port target] || $port > 65535} {
        return -code error -level 2 -errorcode {WEBSOCKET URL} "invalid URL \"$url\""
    }
    set tls [string equal -nocase $scheme wss]
    set default [expr {$tls ? 443 : 80}]
    set header $host
    if {$port eq ""} {
        set port $default
    } elseif {$port != $default} {
        append header :$port
    }
    if {![string match /* $target]} {
        set target /$target
    }
    return [list $tls [string trim $host {[]}] $port $header [string map {{ } %20} $target]]
}

# Opens a connection and returns its channel.
#
#   ws::client::open ?options? url
#
# Without -callback it waits for the connection and for the handshake (-timeout, default 10s, for
# each), and messages are taken by ws::client::receive. With -callback it returns at once, and the
# callback is called with channel, event and data, as by ws::listen; the event loop has to run. With
# -reconnect 1 a connection that is lost is opened again, after 1s, 2s, 4s ... up to -reconnectmax
# (60s); the callback then hears `open` with another channel.
# Options: -protocols list, -headers list, -cafile, -capath, -cert, -key, -hostname, -insecure (as of
# ns_connchan connect); -compression, -maxframe, -maxmessage, -ping, ... (ws(n)).
proc ::ws::client::open {args} {
    variable ::ws::common
    variable serial
    variable kept
    set usage "ws::client::open ?options? url"
    set tls {-cafile -capath -cert -key -hostname}
    set own {-timeout -callback -reconnect -reconnectmax}
    lassign [::ws::Options $usage [concat $own $tls $common] {-insecure} 1 $args] options words
    set options [dict merge {-timeout 10s -callback {} -reconnect 0 -reconnectmax 60s} $options]
    dict set options url [lindex $words 0]
    dict set options parts [Parse [lindex $words 0]]
    dict set options settings [::ws::SettingsFrom client $common $options]
    set most [Milliseconds [dict get $options -reconnectmax]]
    set callback [dict get $options -callback]
    set reconnects [dict get $options -reconnect]
    if {![string is boolean -strict $reconnects]} {
        return -code error "expected boolean value but got \"$reconnects\""
    }
    set id {}
    if {$reconnects} {
        if {$callback eq ""} {
            return -code error "-reconnect needs a -callback"
        }
        Forget
        set id [incr serial]
        set kept($id) [dict create options $options delay 1000 most $most timer {} closed 0 \
            known {} now {}]
        set callback [list ::ws::client::Event $id]
    }
    if {[catch {Start $options $callback $id} result failure]} {
        unset -nocomplain kept($id)
        return -code error -errorcode [dict get $failure -errorcode] $result
    }
    return $result
}

# Connects: by waiting when there is no callback.
proc ::ws::client::Start {options callback id} {
    variable ids
    variable kept
    lassign [dict get $options parts] tls host port header target
    set settings [dict merge [dict get $options settings] [list host $header target $target]]
    set timeout [dict get $options -timeout]
    set secure {}
    if {$tls} {
        lappend secure -tls
        foreach name {-cafile -capath -cert -key -hostname} {
            if {[dict exists $options $name]} {
                lappend secure $name [dict get $options $name]
            }
        }
        if {[dict exists $options -insecure]} {
            lappend secure -insecure
        }
    }
    if {$callback eq ""} {
        set channel [ns_connchan connect {*}$secure -timeout $timeout -- $host $port]
        set begin [list Handshake -timeout $timeout $channel $settings]
    } else {
        dict set settings handshakewait $timeout
        set channel [ns_connchan connect {*}$secure -timeout 0 -- $host $port]
        # One that is opened again is known here alone: its events stay in this thread.
        set stays [expr {$id ne "" ? "here" : ""}]
        set begin [list ::ws::Attach $channel $settings $callback {} {} {} $stays]
    }
    if {[catch $begin result failure]} {
        ns_connchan close $channel
        return -options [dict replace $failure -level 1] $result
    }
    if {$id ne ""} {
        set ids($channel) $id
        dict set kept($id) now $channel
    }
    return $channel
}

# An event of a connection that is to be opened again. It is known to scripts by the channel that was
# open last, and by the one that is being opened.
proc ::ws::client::Event {id channel event data} {
    variable kept
    variable ids
    if {![info exists kept($id)]} {
        return
    }
    set callback [dict get $kept($id) options -callback]
    set known [dict get $kept($id) known]
    if {$event eq "open"} {
        if {$known ne $channel} {
            unset -nocomplain ids($known)
        }
        dict set kept($id) known $channel
        dict set kept($id) delay 1000
    } elseif {$event eq "close"} {
        if {$known eq ""} {
            dict set kept($id) known $channel
        } elseif {$known ne $channel} {
            unset -nocomplain ids($channel)
        }
        if {[dict get $kept($id) closed]} {
            Drop $id
        } else {
            Later $id
        }
    }
    uplevel #0 [list {*}$callback $channel $event $data]
}

# Opens a lost connection again after a while, which grows each time and is never quite the same.
proc ::ws::client::Later {id} {
    variable kept
    set most [dict get $kept($id) most]
    set delay [expr {min([dict get $kept($id) delay], $most)}]
    dict set kept($id) delay [expr {min($most, $delay * 2)}]
    set wait [expr {round($delay * (0.75 + rand() / 2))}]
    dict set kept($id) timer [after $wait [list ::ws::client::Again $id]]
}

proc ::ws::client::Again {id} {
    variable kept
    if {![info exists kept($id)]} {
        return
    }
    dict set kept($id) timer {}
    set options [dict get $kept($id) options]
    if {[catch {Start $options [list ::ws::client::Event $id] $id} message]} {
        ns_log warning "ws::client: cannot connect to [dict get $options url]: $message"
        Later $id
    }
}

# Forgets a connection that is not to be opened again.
proc ::ws::client::Drop {id} {
    variable kept
    variable ids
    after cancel [dict get $kept($id) timer]
    unset -nocomplain ids([dict get $kept($id) known]) ids([dict get $kept($id) now])
    unset kept($id)
}

# Forgets those whose channel was closed by ns_connchan close, of which no event tells.
proc ::ws::client::Forget {} {
    variable kept
    foreach id [array names kept] {
        if {[dict get $kept($id) timer] eq "" && ![ns_connchan exists [dict get $kept($id) now]]} {
            Drop $id
        }
    }
}

# Milliseconds of a time such as 60s, 500ms or 1m.
proc ::ws::client::Milliseconds {time} {
    if {![regexp {^(\d+(?:\.\d*)?) *(ms|s|m|h)?$} $time - number unit] || $number <= 0} {
        return -code error -level 2 "expected time value but got \"$time\""
    }
    return [expr {round($number * [dict get {{} 1000 ms 1 s 1000 m 60000 h 3600000} $unit])}]
}

# Sends a message; the length of its frame.
#
#   ws::client::send ?-text? ?-binary? channel message
proc ::ws::client::send {args} {
    tailcall ::ws::send {*}$args
}

# Waits for the next message of a connection without a callback, and returns it.
#
#   ws::client::receive ?-timeout time? ?-type varName? channel
proc ::ws::client::receive {args} {
    set usage "ws::client::receive ?-timeout time? ?-type varName? channel"
    lassign [::ws::Options $usage {-timeout -type} {} 1 $args] options words
    set timeout [expr {[dict exists $options -timeout] ? [dict get $options -timeout] : "30s"}]
    lassign [Receive -timeout $timeout [lindex $words 0]] type payload
    if {[dict exists $options -type]} {
        upvar 1 [dict get $options -type] variable
        set variable $type
    }
    return $payload
}

# Closes a connection for good. With a callback the closing handshake goes on by itself, and the
# callback hears `close`; without one it is waited for, and the channel is closed then.
#
#   ws::client::close channel ?code? ?reason?
proc ::ws::client::close {channel args} {
    variable ids
    variable kept
    if {[llength $args] > 2} {
        return -code error -errorcode {TCL WRONGARGS} \
            "wrong # args: should be \"ws::client::close channel ?code? ?reason?\""
    }
    if {[info exists ids($channel)]} {
        set id $ids($channel)
        if {[dict get $kept($id) timer] ne ""} {
            # Lost, and about to be opened again.
            Drop $id
            return
        }
        set channel [dict get $kept($id) now]
        ::ws::close $channel {*}$args
        dict set kept($id) closed 1
    } elseif {[dict exists [ns_connchan status $channel] callback]} {
        ::ws::close $channel {*}$args
    } else {
        Finish $channel {*}$args
        ns_connchan close $channel
    }
    return
}

package provide ws 0.1.0
