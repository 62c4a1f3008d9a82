# valgrind.tcl -- goes once through everything the library can do, quickly, and ends normally.
#
#   valgrind --leak-check=full tclsh tests/valgrind.tcl
#
# It checks little; the tool that watches it does. The name of each part is printed when it begins,
# so that a report can be placed. Threads are left out where the package Thread is missing.

source [file join [file dirname [file normalize [info script]]] support load.tcl]
source [file join [file dirname [file normalize [info script]]] support tools.tcl]

# Under valgrind everything takes its time.
set patience 120

proc part {name script} {
    puts "-- $name"
    flush stdout
    set ::notes {}
    uplevel #0 $script
    foreach entry [ns_connchan list] {
        catch {ns_connchan close [lindex $entry 0]}
    }
    foreach socket [file channels sock*] {
        close $socket
    }
}

part "usage texts and other errors" {
    foreach subcommand {
        callback connect close debug detach exists list listen open read status write wsencode bogus
    } {
        catch {ns_connchan $subcommand}
        catch {ns_connchan $subcommand a b c d e f}
        catch {ns_connchan $subcommand -timeout}
        catch {ns_connchan $subcommand -server nope x}
        catch {ns_connchan $subcommand nope}
    }
    catch {ns_connchan}
    catch {ns_connchan connect -timeout abc h 1}
    catch {ns_connchan connect h 70000}
    catch {ns_connchan connect -insecure h 1}
    catch {ns_connchan open foo}
    catch {ns_connchan open -headers nope http://127.0.0.1:1/}
    catch {ns_connchan listen -bind 192.0.2.1 0 x}
    catch {ns_connchan connect 127.0.0.1 1}
    catch {ns_connchan connect -timeout 0.05 nohost.invalid 1}
}

part "wsencode" {
    foreach options {{} {-mask} {-opcode binary} {-opcode ping -mask} {-fin 0} {-binary}} {
        foreach length {0 1 125 126 65535 65536} {
            ns_connchan wsencode {*}$options -- [string repeat a $length]
            ns_connchan wsencode {*}$options -- [pattern $length]
        }
    }
}

part "reading frames" {
    lassign [connectedPair] channel peer
    foreach options {{} -mask {-fin 0} {-opcode ping} {-opcode continue}} {
        peerWrite $peer [ns_connchan wsencode {*}$options [string repeat a 20000]]
    }
    set got 0
    while {$got < 4} {
        set result [ns_connchan read -websocket $channel]
        incr got [dict exists $result payload]
        if {[dict get $result frame] eq "exception"} {
            break
        }
    }
    ns_connchan status $channel
    lassign [connectedPair] left peer
    peerWrite $peer [bytes 010161810161]
    ns_connchan read -websocket $left
}

part "reading and writing" {
    lassign [connectedPair] channel peer
    ns_connchan write $channel hello
    catch {ns_connchan write -buffered x}
    peerRead $peer 5
    peerWrite $peer [pattern 50000]
    set count 0
    while {$count < 50000} {
        incr count [string length [ns_connchan read $channel]]
    }
    ns_connchan debug $channel 0
    ns_connchan status $channel
    ns_connchan list
    ns_connchan exists $channel
    close $peer
    ns_connchan read $channel
    catch {ns_connchan write $channel x}
    catch {ns_connchan write $channel x}
    catch {ns_connchan write $channel x}
    ns_connchan close $channel
    catch {ns_connchan close $channel}
}

part "the send buffer" {
    lassign [connectedPair] channel peer
    for {set i 0} {$i < 12} {incr i} {
        ns_connchan write $channel [pattern 1000000]
    }
    ns_connchan callback -sendtimeout 0.05 -receivetimeout 0.05 $channel {reply 1} x
    catch {ns_connchan write $channel [pattern 1000000]}
    catch {ns_connchan read $channel}
    ns_connchan callback -sendtimeout 0 $channel [list apply {{channel reason} {
        ns_connchan write $channel ""
        return [expr {[dict get [ns_connchan status $channel] sendbuffer] ? 1 : 2}]
    }} $channel] w
    peerRead $peer 13000000 $patience
    # ... and one that is thrown away full
    lassign [connectedPair] other
    ns_connchan write $other [pattern 12000000]
    ns_connchan close $other
}

part "callbacks of all kinds and outcomes" {
    foreach result {0 1 2 3 0x1} {
        lassign [connectedPair] channel peer
        ns_connchan callback $channel [list reply $result $channel] rwex
        peerWrite $peer x
        set notes {}
        awaitNotes 1 $patience
        catch {ns_connchan callback $channel {note again; reply 2 $patience} rw}
    }
    settle
    foreach script {
        {apply {{reason} {ns_connchan close $::channel; return 1}}}
        {apply {{reason} {ns_connchan callback $::channel {reply 2} r; return 2}}}
        {apply {{reason} {ns_connchan callback $::channel {reply 2} r; return 1}}}
        {apply {{reason} {return -code return 0}}}
        {apply {{reason} {runFor 20; return 0}}}
    } {
        lassign [connectedPair] channel peer
        ns_connchan callback $channel $script rw
        settle
        catch {ns_connchan status $channel}
    }
    catch {ns_connchan callback $channel x q}
    lassign [connectedPair] channel peer
    ns_connchan callback -timeout 0.02 $channel {reply 1} re
    set notes {}
    awaitNotes 1 $patience
    ns_connchan callback -timeout 10 $channel {reply 1} re
    ns_connchan callback -timeout 10 $channel {reply 1} x
}

part "errors in callbacks (the log goes to a child's standard error, that is dropped)" {
    set script [childScript {
        foreach body {{error boom} {return abc} {return -code break} {return -code 5} {no_such}} {
            lassign [connectedPair] channel peer
            ns_connchan callback $channel [list apply [list reason $body]] w
            peerEof $peer
            lassign [openListener [list apply [list channel $body]]] listener port
            peerEof [tclConnect $port]
        }
    }]
    set name [scriptFile $script]
    exec [info nameofexecutable] $name 2>/dev/null
    file delete $name
}

part "listening" {
    foreach result {1 0 true false} {
        lassign [openListener [list reply $result]] listener port
        set notes {}
        set peers [lmap i {1 2 3} {tclConnect $port}]
        awaitNotes 3 $patience
        ns_connchan status $listener
        ns_connchan close $listener
    }
    lassign [openListener {serve echo}] listener port
    set peer [tclConnect $port]
    peerWrite $peer hello
    peerRead $peer 5 $patience
    # A connection still in the queue when the listener is closed
    tclConnect $port
    ns_connchan close $listener
}

part "open" {
    lassign [tclListener] server port
    set headers [ns_set create Host h A b]
    set channel [ns_connchan open -headers $headers -method post -version 1.1 http://127.0.0.1:$port/a?b#c]
    set peer [tclAccept $server]
    peerWrite $peer "HTTP/1.0 200 OK\r\n\r\n"
    ns_connchan read $channel
    ns_set free $headers
    catch {ns_connchan open -unix_socket /nonexistent/socket http://h/}
}

part "support commands" {
    set set [ns_set create -nocase name Key value]
    ns_set put $set other 1
    foreach subcommand {array keys values size name format copy} {
        ns_set $subcommand $set
    }
    ns_set merge $set [ns_set create x y]
    ns_set move $set [ns_set create x y]
    ns_set split $set
    catch {ns_set get nope x}
    ns_set cleanup
    ns_section test/valgrind {
        ns_param a 1
        ns_param b yes
    }
    ns_config -int test/valgrind a
    ns_config -bool test/valgrind b
    ns_config test/valgrind c default
    ns_log debug "not to be seen"
}

part "connecting without waiting" {
    lassign [tclListener] server port
    # One that succeeds, with something kept; one that fails; one that is closed meanwhile
    set good [ns_connchan connect -timeout 0 127.0.0.1 $port]
    ns_connchan write $good hello
    ns_connchan callback -timeout 100 $good {reply 2} w
    set peer [tclAccept $server]
    peerRead $peer 5 $patience
    awaitNotes 1 $patience
    set bad [ns_connchan open -timeout 0 http://127.0.0.1:1/]
    ns_connchan callback $bad {reply 1} rwe
    awaitNotes 4 $patience
    catch {ns_connchan read $bad}
    catch {ns_connchan write $bad x}
    ns_connchan status $bad
    ns_connchan close $bad
    for {set i 0} {$i < 20} {incr i} {
        set channel [ns_connchan connect -timeout 0 127.0.0.1 [lindex [list $port 1] [expr {$i % 2}]]]
        catch {ns_connchan write $channel [pattern 10000]}
        catch {ns_connchan callback -timeout 100 $channel {reply 1} rw}
        ns_connchan close $channel
    }
    catch {ns_connchan connect -timeout 0 nohost.invalid 1}
    catch {ns_connchan open -timeout 0 -unix_socket /nonexistent/socket http://unix.test/}
    settle
}

part "shared variables, locks, urls and their like" {
    nsv_array reset v/a {x 1 y 2}
    nsv_array set v/a {z 3}
    foreach script {
        {nsv_set v/a k v} {nsv_set -default v/a k w} {nsv_set -reset v/a k w} {nsv_get v/a k} {nsv_get v/a k var}
        {nsv_get v/none k} {nsv_incr v/a n 5} {nsv_incr v/a k} {nsv_append v/a k a b} {nsv_lappend v/a k {c d}}
        {nsv_array get v/a} {nsv_array names v/a} {nsv_array bogus v/a} {nsv_names v/*} {nsv_unset v/a k}
        {nsv_dict set v/a d k l 1} {nsv_dict get v/a d k l} {nsv_dict get v/a d nope} {nsv_dict incr v/a d n}
        {nsv_dict lappend v/a d l x} {nsv_dict append v/a d s x} {nsv_dict unset v/a d k l} {nsv_dict keys v/a d}
        {nsv_dict getdef -varname var v/a d x y} {nsv_set v/a d "a b c"; nsv_dict size v/a d} {nsv_unset v/a}
        {set m [ns_mutex create]; ns_mutex eval $m {ns_mutex trylock $m}} {ns_mutex eval $m {error x}}
        {ns_mutex lock $m; ns_mutex lock $m} {ns_cond wait c $m 0.01} {ns_cond broadcast c} {ns_mutex unlock $m}
        {ns_mutex destroy $m} {ns_rwlock readeval r {ns_rwlock writelock r}} {ns_rwlock writeeval r {return x}}
        {ns_critsec eval c {ns_critsec eval c {}}} {set s [ns_sema create 1]; ns_sema wait $s; ns_sema release $s}
        {coroutine inside ns_mutex eval held {yield}} {rename inside ""}
        {ns_parseurl -strict http://u@[join {{[::1]}}]:8/a/b?c#d} {ns_parseurl http://h:x} {ns_joinurl {host h path p}}
        {ns_absoluteurl x http://h/a} {ns_parsehostport h:1} {ns_urlencode a "\u20ac &" c d} {ns_urldecode %e9+%zz}
        {ns_urldecode -fallbackcharset iso-8859-1 %e9} {ns_set size [ns_parsequery a=b&c]} {ns_quotehtml <&>}
        {ns_unquotehtml &lt\;&#x20ac\;} {ns_striphtml <b>x} {ns_base64decode [ns_base64encode [pattern 1000]]}
        {ns_crypto::md string -digest sha1 x} {ns_crypto::md string -digest bogus x}
        {set md [ns_crypto::md new md5]; ns_crypto::md add $md x; ns_crypto::md get $md}
        {ns_crypto::hmac new sha256 key} {ns_crypto::randombytes 16} {ns_uuid} {ns_rand} {ns_time get}
        {ns_time diff 5 0.1} {ns_httptime 0} {ns_parsehttptime x} {ns_fmttime 0 %Y} {ns_gmtime} {ns_baseunit -size 1kB}
        {ns_parseargs {-a {-b 1} x args} -a 2 3 4} {ns_parseargs {-a x}} {ns_env set V v} {ns_env unset V}
        {ns_parseheader [ns_set create] "a: b"} {ns_parsemessage "a\nb: c\n\nd"} {ns_configsections} {ns_charsets}
        {ns_configsection ns/parameters} {ns_kill [pid] 0} {ns_addrbyhost localhost} {ns_normalizepath a/../b}
        {ns_logctl hold; ns_log notice x; ns_logctl get; ns_logctl release} {ns_logctl severity Debug(v) on}
        {ns_logctl unregister [ns_logctl register list]} {ns_logctl stats} {ns_logroll}
    } {
        catch $script
    }
    lassign [connectedPair] channel peer
    ns_connchan callback $channel [list apply {{channel reason} {
        ns_connchan read $channel
        ns_set copy [ns_set create a b]
        note freed
        return 1
    }} $channel] r
    peerWrite $peer x
    awaitNotes 1
    ns_set cleanup
    if {![catch {package require Thread}]} {
        set worker [threadStart]
        threadDo $worker {
            nsv_incr v/t n
            ns_mutex lock left
        }
        threadEnd $worker
        set worker [threadStart]
        thread::send -async $worker {ns_mutex eval left {thread::exit}}
        thread::join $worker
        ns_mutex lock left
        ns_mutex unlock left
    }
}

part "the HTTP server: handlers, filters, all ways to answer, peers that vanish" {
    # What handlers do wrong here is meant.
    ns_section -update ns/parameters
    ns_param systemlog /dev/null
    ns_log notice "the log is dropped"
    proc asked {port bytes} {
        set peer [tclConnect $port]
        peerWrite $peer $bytes
        close $peer write
        set answer [peerReadAll $peer $::patience]
        close $peer
        return $answer
    }
    set file [scriptFile [string repeat x 100000]]
    foreach {path script} {
        /return {ns_return 200 text/plain "Hello World!"}
        /data {ns_return -binary 200 a/b [string repeat x 100000]}
        /respond {
            set fields [ns_set create x X-A 1]
            ns_respond -status 201 -headers $fields -type text/html -string [string repeat y 1000]
        }
        /file {ns_returnfile 200 text/plain $::file}
        /channel {
            set channel [open $::file]
            ns_returnfp 200 text/plain $channel 1000
            close $channel
        }
        /stream {ns_headers 200 text/plain; ns_write a b; ns_write [string repeat z 100000]}
        /gzip {ns_conn compress 6; ns_return 200 text/plain [string repeat z 10000]}
        /notice {ns_returnnotice 200 title message}
        /notfound ns_returnnotfound
        /redirect {ns_returnredirect /return}
        /internal {ns_internalredirect /return}
        /error {error mistake}
        /nothing {set x 1}
        /conn {
            foreach word {method url urlv query headers outputheaders host port peeraddr content form start id} {
                ns_conn $word
            }
            ns_return 200 text/plain x
        }
        /detach {
            set channel [ns_connchan detach]
            ns_connchan callback $channel [list apply {{channel reason} {
                set bytes [ns_connchan read $channel]
                ns_connchan write $channel $bytes
                return [expr {$bytes ne ""}]
            }} $channel] r
        }
        /channel2 {
            set channel [ns_conn channel]
            puts $channel raw
            close $channel
        }
    } {
        ns_register_proc GET $path $script
        ns_register_proc POST $path $script
        ns_register_filter preauth GET $path {return filter_ok;#}
        ns_register_trace GET $path {ns_conn status;#}
        lappend paths $path
    }
    set env(NS_VALGRIND_FILE) $file
    foreach option {{} {-threads 2 -init {set file $::env(NS_VALGRIND_FILE)}}} {
        set served [ns_serve -port 0 {*}$option]
        set port [dict get $served port]
        foreach path $paths {
            asked $port "GET $path?a=b HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\nRange: bytes=0-1,5-6\r\n\r\nearly"
            asked $port "POST $path HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na=b&c\r\n0\r\n\r\n"
            # Gone before the answer
            set peer [tclConnect $port]
            peerWrite $peer "GET $path HTTP/1.1\r\nHost: h\r\n\r\n"
            close $peer
        }
        foreach bytes {"garbage\r\n\r\n" "GET /x HTTP/1.1\r\n\r\n" "POST /return HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nx"} {
            asked $port $bytes
        }
        asked $port [string repeat "GET /return HTTP/1.1\r\nHost: h\r\n\r\n" 20]
        asked $port "POST /return HTTP/1.1\r\nHost: h\r\nContent-Length: 50000\r\n\r\n[string repeat x 50000]"
        ns_connchan close [dict get $served channel]
    }
    foreach path $paths {
        ns_unregister_op GET $path
    }
    file delete $file
}

part "interpreters" {
    foreach round {1 2 3} {
        set child [interp create]
        foreach name {load.tcl tools.tcl} {
            interp eval $child [list source [file join $supportDirectory $name]]
        }
        lassign [connectedPair] channel peer
        interp eval $child [list ns_connchan callback $channel {reply 1} rx]
        interp eval $child {
            ns_set create a b
            lassign [openListener {reply 1}] listener port
            lassign [listenPair] a b
            ns_connchan callback $a [list echo $a] r
            ns_connchan callback $b [list reply 1 $b] rx
            ns_connchan write $b x
        }
        settle
        interp delete $child
    }
    # Deleted in a callback of its own
    set child [interp create]
    interp eval $child [list source [file join $supportDirectory load.tcl]]
    interp alias $child vanish {} interp delete $child
    lassign [connectedPair] channel peer
    interp eval $child [list ns_connchan callback $channel {apply {{reason} {vanish; return 1}}} r]
    ns_connchan callback $channel {reply 1} r
    interp delete $child
    catch {load [lindex [info loaded] 0 0] Ns_connchan [interp create -safe safe]}
    interp delete safe
}

if {![catch {package require Thread}]} {
    part "threads" {
        withThread {one two} {
            foreach tid [list $one $two] {
                threadDo $tid {
                    lassign [listenPair] a b
                    ns_connchan callback $a [list echo $a] r
                    ns_connchan callback $b [list take 1 $b] r
                    ns_connchan write $b hello
                    awaitNotes 1 120
                } $patience
            }
            lassign [connectedPair] channel peer
            for {set i 0} {$i < 20} {incr i} {
                ns_connchan callback $channel {reply 1} rw
                threadDo $one [list ns_connchan callback $channel {reply 1} rw] $patience
                threadDo $two [list ns_connchan write $channel x] $patience
            }
            threadDo $two [list ns_connchan close $channel] $patience
            lassign [threadDo $one {openListener {reply 1}} $patience] listener port
            tclConnect $port
        }
    }
}

part "reactor threads" {
    catch {ns_socks}
    catch {ns_socks bogus}
    catch {ns_socks configure -threads 1 -init {error boom}}
    ns_socks configure -threads 2 -init [childScript {}]
    lassign [openListener {serve echo}] listener port
    set peers [lmap i {1 2 3 4} {tclConnect $port}]
    foreach peer $peers {
        peerWrite $peer hello
        peerRead $peer 5 $patience
    }
    lassign [connectedPair] channel peer
    ns_connchan callback -timeout 100 $channel [list echo $channel] r
    ns_connchan callback $channel [list echo $channel] rx
    peerWrite $peer x
    peerRead $peer 1 $patience
    ns_socks eval {set x 1}
    catch {ns_socks eval {error boom}}
    ns_socks stats
    ns_connchan status $listener
    ns_connchan close $listener
    # Replaced with a channel left, and gone back from
    ns_socks configure -threads 1 -init [childScript {}]
    ns_connchan callback $channel [list echo $channel] r
    ns_socks configure -threads 0
    ns_connchan close $channel
    ns_socks configure -threads 1
    ns_socks join 0
}

# What is still there at the end: channels with and without callbacks, a listener, kept bytes
puts "-- the end"
lassign [listenPair] a b listener
ns_connchan callback -timeout 100 $a {reply 1} rx
ns_connchan write $b [pattern 8000000]
lassign [connectedPair] channel peer
