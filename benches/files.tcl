# Serves a folder: tclsh files.tcl PORT FOLDER CACHE ?CERT KEY?
package require ns_connchan

lassign $argv port folder cache certificate key
ns_section ns/fastpath {
    ns_param cache $cache
    ns_param cachemaxentry 32KB
    ns_param gzip_static true
}
# Connections rest while others are measured.
foreach module {nssock nsssl} {
    ns_section ns/module/$module {
        ns_param keepwait 75
    }
}
set options {}
if {$certificate ne ""} {
    lappend options -tls -cert $certificate -key $key
}
ns_serve -address 127.0.0.1 -port $port -pagedir $folder {*}$options
puts ready
flush stdout
vwait forever
