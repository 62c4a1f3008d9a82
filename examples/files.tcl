# Serves a directory on 127.0.0.1: tclsh files.tcl PORT DIR
package require ns_connchan

lassign $argv port directory
if {![file isdirectory $directory]} {
    puts stderr "usage: tclsh files.tcl PORT DIR"
    exit 2
}
ns_section ns/fastpath {
    ns_param cache true                         ;# small files stay in memory
    ns_param gzip_static true                   ;# page.html.gz beside page.html
    ns_param brotli_static true
}
ns_section ns/server/default/fastpath {
    ns_param directorylisting fancy             ;# where there is no index.html
}

# No handler is registered: what nothing else answers is looked for in the
# directory. No script runs for it either.
ns_serve -address 127.0.0.1 -port $port -pagedir [file normalize $directory]
puts ready
flush stdout
vwait forever
