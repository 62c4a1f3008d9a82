# hosts.tcl -- the hosts of the network that namespace.tcl has made, the parts they play, and names with
# several of them as addresses; sourced after common.tcl and async.tcl.

# A network of its own: see namespace.tcl.
testConstraint namespace [info exists env(NS_CONNCHAN_TEST_NET)]

# All of them use one port.

set port 4000
set hosts {
    accept  {10.8.0.1 10.8.0.2 10.8.0.3}
    refuse  {10.8.0.11 10.8.0.12 10.8.0.13}
    drop    {10.8.0.21 10.8.0.22 10.8.0.23}
    late    {10.8.0.31}
    broken  {10.8.0.41 10.8.0.42 10.8.0.43}
    tls     {10.8.0.51 10.8.0.52}
    denied  {10.9.1.1}
    noroute {10.9.2.1}
    accept6 {fd08::1 fd08::2}
    refuse6 {fd08::8 fd08::9}
    drop6   {fd08::5}
}

# Has the python peer play these parts. The event loop is not needed for any of them.
proc play {args} {
    foreach role $args {
        set number 0
        foreach address [dict get $::hosts $role] {
            set name $role[incr number]
            switch $role {
                accept - accept6 {python answering $name $address $::port accept}
                broken           {python answering $name $address $::port garbage}
                drop - late - drop6 {python fullbacklog $name $address $::port}
            }
        }
    }
}

# A TLS server in a process of its own, at all the addresses of the part "tls". It says "ready", and
# serves from the moment on when it is told "go".
proc playTls {} {
    set server [serverProcess "
        source [list [file join $::supportDirectory async.tcl]]
        set certificate [list [certificate]]
        tlsServer {serve echo}
        foreach address [list [dict get $::hosts tls]] {
            ns_connchan listen -driver asynctls -bind \$address $::port {serve echo}
        }
        puts ready
        gets stdin
        fconfigure stdin -blocking 0
        fileevent stdin readable {if {\[read stdin] eq {} && \[eof stdin]} exit}
        vwait forever
    "]
    processLine $server
    return $server
}

# A new name whose addresses are of hosts that play these parts, in this order.
set nameSerial 0
proc nameOf {roles} {
    set name name[incr ::nameSerial].test
    set text "127.0.0.1 localhost\n::1 localhost\n"
    set left $::hosts
    foreach role $roles {
        dict set left $role [lassign [dict get $left $role] address]
        append text "$address $name\n"
    }
    namespaceFile hosts $text
    return $name
}

proc roleOf {address} {
    dict for {role addresses} $::hosts {
        set index [lsearch -exact $addresses $address]
        if {$index >= 0} {
            return $role[expr {$index + 1}]
        }
    }
    return $address
}

# Connects to a name with such addresses, in one of two modes: waiting, or background. Returns who has
# won, or the errorCode, shortened.
proc reach {mode roles args} {
    set name [nameOf $roles]
    if {$mode eq "waiting"} {
        if {[catch {ns_connchan connect -timeout $::seconds {*}$args $name $::port} channel options]} {
            return [brief [dict get $options -errorcode]]
        }
    } else {
        parameter connchanconnectwait ${::seconds}s
        set channel [ns_connchan connect -timeout 0 {*}$args $name $::port]
        parameter
        set code [lindex [spinToEnd $channel 20] 2]
        if {$code ne ""} {
            ns_connchan close $channel
            return [brief $code]
        }
    }
    set winner [roleOf [dict get [ns_connchan status $channel] peer]]
    ns_connchan close $channel
    return $winner
}

proc brief {code} {
    switch [lindex $code 0] {
        POSIX   {return [lindex $code 1]}
        OPENSSL {return OPENSSL}
        default {return $code}
    }
}

proc permutations {list} {
    if {[llength $list] < 2} {
        return [list $list]
    }
    set result {}
    for {set i 0} {$i < [llength $list]} {incr i} {
        foreach rest [permutations [lreplace $list $i $i]] {
            lappend result [list [lindex $list $i] {*}$rest]
        }
    }
    return [lsort -unique $result]
}

# The ways to connect that everyOrder tries.
set modes {waiting background}

# One outcome for every order of these parts, in both modes; the outcomes that differ from it are shown
# with their order.
proc everyOrder {roles expected args} {
    set wrong {}
    foreach order [permutations $roles] {
        foreach mode $::modes {
            set outcome [reach $mode $order {*}$args]
            if {$outcome ne $expected} {
                lappend wrong "$mode $order: $outcome"
            }
        }
    }
    return $wrong
}

# The addresses to which connections of this process are being made.
proc tried {} {
    set addresses {}
    foreach line [split [exec ss -Htnp state syn-sent] \n] {
        if {[regexp "(\\S+):$::port\\s.*pid=[pid]," $line - address]} {
            lappend addresses $address
        }
    }
    return $addresses
}

# Seconds that connecting may take.
set seconds 10
