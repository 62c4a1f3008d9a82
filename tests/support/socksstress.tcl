# socksstress.tcl -- eight threads do everything to a thousand shared channels, at random, for so many
# steps; then every byte is accounted for.
#
#   tclsh socksstress.tcl ?pairs? ?steps? ?seed?
#
# Each pair is two channels of this process, connected with each other: bytes go from the one to the
# other. Any thread writes to the first, reads from the second or registers its callback anew (so that
# it moves between the reactor threads and the threads with an event loop of their own), closes the
# first and opens another pair. The second is read until its end, by whoever comes to it, and then
# closed. What was sent must be what was received, pair by pair.

source [file join [file dirname [file normalize [info script]]] load.tcl]
source [file join [file dirname [file normalize [info script]]] tools.tcl]
package require Thread

lassign [concat $argv [lrange {500 1500 1} [llength $argv] end]] pairs steps seed
set threads 8
puts "pairs $pairs, threads $threads, steps $steps, seed $seed"

# What all threads know: a($id) and b($id) are the channels of a pair, sent($id) and got($id) count,
# over($id) exists when the second has been read to its end.
set common {
    package require Thread

    # The accept script: the first bytes tell which pair it is.
    proc arrive {channel} {
        ns_connchan callback -receivetimeout 1ms $channel [list greet $channel] r
        return 1
    }

    proc greet {channel reason} {
        if {[catch {ns_connchan read $channel} bytes] || [string length $bytes] < 6} {
            ns_log error "no greeting: $bytes"
            return 0
        }
        set id [scan [string range $bytes 0 5] %d]
        tsv::incr got $id [string length $bytes]
        ns_connchan callback -receivetimeout 1ms $channel [list gather $id $channel] r
        tsv::set b $id $channel
        return 1
    }

    # Reads what there is; others may have been faster.
    proc gather {id channel reason} {
        if {[catch {ns_connchan read $channel} bytes options]} {
            if {[dict get $options -errorcode] ne "NS_TIMEOUT" && [ns_connchan exists $channel]} {
                ns_log error "pair $id: $bytes"
            }
            return 1
        }
        if {[string length $bytes] == 0} {
            tsv::incr over $id
            return 0
        }
        tsv::incr got $id [string length $bytes]
        return 1
    }
}

set worker {
    proc openPair {port} {
        set id [tsv::incr stress opened]
        set channel [ns_connchan connect -timeout 60 127.0.0.1 $port]
        tsv::incr sent $id [ns_connchan write $channel [format %06d $id]]
        tsv::set a $id $channel
    }

    proc writeTo {id channel} {
        if {![catch {ns_connchan write $channel [string repeat x [expr {int(rand() * 3000)}]]} count]} {
            tsv::incr sent $id $count
        }
    }

    proc step {port} {
        set id [expr {int(rand() * [tsv::get stress opened]) + 1}]
        if {![tsv::get a $id a] || ![tsv::get b $id b]} {
            return
        }
        set dice [expr {rand()}]
        if {$dice < 0.45} {
            writeTo $id $a
        } elseif {$dice < 0.6} {
            if {[gather $id $b read] == 0} {
                catch {ns_connchan close $b}
            }
        } elseif {$dice < 0.8} {
            set when [lindex {r r rx re rw} [expr {int(rand() * 5)}]]
            catch {ns_connchan callback -receivetimeout 1ms $b [list gather $id $b] [string map {w {}} $when]}
        } elseif {$dice < 0.87} {
            catch {ns_connchan status $a}
            catch {ns_connchan exists $b}
            ns_connchan list
        } elseif {![catch {ns_connchan close $a}]} {
            openPair $port
        }
    }

    proc work {number steps port} {
        expr {srand($::seed * 100 + $number)}
        ns_socks join [expr {$number % 2}]
        for {set i 0} {$i < $steps} {incr i} {
            step $port
            if {$i % 10 == 0} {
                update
            }
        }
        thread::send -async $::main {incr ::finished}
    }
}

tsv::set stress opened 0
ns_socks configure -threads 2 -init [childScript $common]
eval $common
eval $worker
set port [dict get [ns_connchan listen -bind 127.0.0.1 0 arrive] port]
for {set i 0} {$i < $pairs} {incr i} {
    openPair $port
}
set finished 0
set workers {}
for {set i 0} {$i < $threads} {incr i} {
    set tid [thread::create -joinable {thread::wait}]
    thread::send $tid [childScript [list set ::main [thread::id]]]
    thread::send $tid "$common\n$worker\nset ::seed $seed"
    lappend workers $tid
}
foreach tid $workers {
    thread::send -async $tid [list work [incr number] $steps $port]
}
while {$finished < $threads} {
    vwait finished
}
# The first ends are closed; the others are read to their end by whoever has them: the threads wait in
# their event loops.
set opened [tsv::get stress opened]
for {set id 1} {$id <= $opened} {incr id} {
    catch {ns_connchan close [tsv::get a $id]}
}
awaitThat "the end of all pairs" {[llength [tsv::array names over]] >= $opened} 100
set wrong {}
set total 0
for {set id 1} {$id <= $opened} {incr id} {
    set sent [tsv::get sent $id]
    set got [tsv::get got $id]
    incr total $got
    if {$sent != $got || [tsv::get over $id] < 1} {
        lappend wrong "pair $id: sent $sent, received $got"
    }
}
foreach tid $workers {
    thread::release $tid
    thread::join $tid
}
# Their second ends are closed by now, or on their way there.
ns_connchan close [lindex [lsearch -inline -index 4 [ns_connchan list] 0.0.0.0] 0]
awaitThat "all channels to be closed" {[llength [ns_connchan list]] == 0} 20
puts "opened $opened, bytes $total, events [dict get [ns_socks stats] events]"
puts [expr {[llength $wrong] ? [join $wrong \n] : "every byte accounted for"}]
exit [expr {[llength $wrong] > 0}]
