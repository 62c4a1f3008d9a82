# ws.tcl -- WebSocket servers and clients over ns_connchan channels.
#
# The hot paths are commands of the library: ws::send, ws::ping, ws::close, ws::subscribe,
# ws::unsubscribe, ws::subscribers, ws::topics, ws::multicast. Here is what is done once a
# connection: listening, opening, connecting again.

package require ns_connchan
ns_connchan::family ws

namespace eval ::ws {
    namespace eval client {
        # Connections that are opened anew when they are lost: url, options and delay by id, and the
        # id by channel.
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
# allowed. Returns a dictionary of the options and the words that are left.
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
            if {[llength $words] < 2} {
                return -code error -level 2 "missing argument to $word"
            }
            dict set options $word [lindex $words 1]
            set words [lrange $words 2 end]
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
    Settings $settings
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
# called with channel and request for all other requests: a list of status, content type and body;
# -compression, -maxframe, -maxmessage, -ping, ... (ws(n)).
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
# list of names and values or as an ns_set.
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
    Attach $channel $settings $callback {} {} $request
    return $channel
}

# What a URL leads to: tls (0 or 1), host, port, the Host header and the target.
proc ::ws::client::Parse {url} {
    if {![regexp -nocase {^(wss?)://(?:[^/?#@]*@)?(\[[^]/?#]+\]|[^:/?#\[]+)(?::(\d+))?([/?][^#]*)?(?:#.*)?$} \
            $url - scheme host port target]} {
        if {![regexp -nocase {^wss?://} $url]} {
            return -code error -errorcode {WEBSOCKET URL} "protocol must be ws:// or wss://"
        }
        return -code error -errorcode {WEBSOCKET URL} "invalid URL \"$url\""
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
# Without -callback it waits for the handshake (-timeout, default 10s, for all of it), and messages
# are taken by ws::client::receive. With -callback it returns at once, and the callback is called
# with channel, event and data, as by ws::listen; the event loop has to run. With -reconnect 1 a
# connection that is lost is opened again, after 1s, 2s, 4s ... up to -reconnectmax (60s); the callback
# then hears `open` with another channel.
# Options: -protocols list, -headers list, -cafile, -capath, -cert, -key, -hostname, -insecure (as of
# ns_connchan connect); -compression, -maxframe, -maxmessage, -ping, ... (ws(n)).
proc ::ws::client::open {args} {
    variable ::ws::common
    set usage "ws::client::open ?options? url"
    set tls {-cafile -capath -cert -key -hostname}
    set own {-timeout -callback -reconnect -reconnectmax}
    lassign [::ws::Options $usage [concat $own $tls $common] {-insecure} 1 $args] options words
    set options [dict merge {-timeout 10s -callback {} -reconnect 0 -reconnectmax 60s} $options]
    set url [lindex $words 0]
    Parse $url
    ::ws::SettingsFrom client $common $options
    if {[dict get $options -callback] eq ""} {
        return [Start $url $options {}]
    }
    variable serial
    variable kept
    set id [incr serial]
    set kept($id) [dict create url $url options $options delay 1000 timer {}]
    if {[catch {Start $url $options $id} result failure]} {
        unset kept($id)
        return -options [dict replace $failure -level 1] $result
    }
    return $result
}

# Connects; by waiting when there is no id.
proc ::ws::client::Start {url options id} {
    variable ::ws::common
    variable ids
    lassign [Parse $url] tls host port header target
    set settings [::ws::SettingsFrom client $common $options]
    dict set settings host $header
    dict set settings target $target
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
    if {$id ne ""} {
        dict set settings handshakewait [dict get $options -timeout]
        set channel [ns_connchan connect {*}$secure -timeout 0 -- $host $port]
        set ids($channel) $id
        if {[catch {::ws::Attach $channel $settings [list ::ws::client::Event $id]} result failure]} {
            unset ids($channel)
            ns_connchan close $channel
            return -options [dict replace $failure -level 1] $result
        }
        return $channel
    }
    set channel [ns_connchan connect {*}$secure -timeout [dict get $options -timeout] -- $host $port]
    if {[catch {Handshake -timeout [dict get $options -timeout] $channel $settings} result failure]} {
        ns_connchan close $channel
        return -options [dict replace $failure -level 1] $result
    }
    return $channel
}

# An event of a connection with a callback.
proc ::ws::client::Event {id channel event data} {
    variable kept
    variable ids
    if {![info exists kept($id)]} {
        return
    }
    set callback [dict get $kept($id) options -callback]
    if {$event eq "open"} {
        dict set kept($id) delay 1000
    } elseif {$event eq "close"} {
        if {![dict get $kept($id) options -reconnect] || [dict exists $kept($id) closed]} {
            unset kept($id)
            unset -nocomplain ids($channel)
        } else {
            # Until there is another one, the old handle stands for the connection.
            dict set kept($id) last $channel
            Later $id
        }
    }
    uplevel #0 [list {*}$callback $channel $event $data]
}

# Opens a lost connection again after a while, which grows each time and is never quite the same.
proc ::ws::client::Later {id} {
    variable kept
    set delay [dict get $kept($id) delay]
    set most [Milliseconds [dict get $kept($id) options -reconnectmax]]
    dict set kept($id) delay [expr {min($most, $delay * 2)}]
    set wait [expr {round(min($delay, $most) * (0.75 + rand() / 2))}]
    dict set kept($id) timer [after $wait [list ::ws::client::Again $id]]
}

proc ::ws::client::Again {id} {
    variable kept
    variable ids
    if {![info exists kept($id)]} {
        return
    }
    dict set kept($id) timer {}
    if {[catch {Start [dict get $kept($id) url] [dict get $kept($id) options] $id} message]} {
        ns_log warning "ws::client: cannot connect to [dict get $kept($id) url]: $message"
        Later $id
    } else {
        unset -nocomplain ids([dict get $kept($id) last])
    }
}

# Milliseconds of a time such as 60s, 500ms or 1m.
proc ::ws::client::Milliseconds {time} {
    if {![regexp {^([0-9.]+) *(ms|s|m|h)?$} $time - number unit]} {
        return -code error "expected time value but got \"$time\""
    }
    return [expr {round($number * [dict get {{} 1000 ms 1 s 1000 m 60000 h 3600000} $unit])}]
}

# Sends a message; the length of its frame.
#
#   ws::client::send ?-text? ?-binary? channel message
proc ::ws::client::send {args} {
    uplevel 1 [list ::ws::send {*}$args]
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

# Closes a connection for good: says goodbye and, without a callback, closes the channel.
#
#   ws::client::close channel ?code? ?reason?
proc ::ws::client::close {channel args} {
    variable ids
    variable kept
    if {![info exists ids($channel)]} {
        ::ws::close $channel {*}$args
        ns_connchan close $channel
        return
    }
    set id $ids($channel)
    dict set kept($id) closed 1
    if {[dict get $kept($id) timer] ne ""} {
        # Lost, and about to be opened again.
        after cancel [dict get $kept($id) timer]
        unset kept($id) ids($channel)
        return
    }
    ::ws::close $channel {*}$args
    return
}

package provide ws 0.1.0
