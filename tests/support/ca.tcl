# ca.tcl -- a certificate authority for the tests, made by them with the program openssl.
#
#   Root  ->  Intermediate  ->  server, client and deliberately bad certificates
#   Stranger  ->  a server and a client that nobody here trusts
#
# [pem NAME] is the path of a file in the authority's folder. The folder is made at its first use, in
# a quarter of a second, and goes with the process that made it; its path is in the environment
# variable NS_CONNCHAN_TEST_CA, so child processes and threads use the same one, and so do all suites
# of one run of all.tcl. All elliptic keys are of the curve P-256, since handshakes are then quick.
#
# Of a certificate NAME there are
#   NAME.crt   the certificate alone
#   NAME.pem   the certificate and its intermediate, leaf first
#   NAME.all   the same and its key, in one file
# Keys: leaf.key belongs to every certificate but those of rsa.key and "nested", whose key is
# other.key; encrypted.key is leaf.key under the passphrase "secret".

# The path of a file of the authority.
proc pem {name} {
    return [file join [caFolder] $name]
}

proc caFolder {} {
    if {![info exists ::env(NS_CONNCHAN_TEST_CA)]} {
        close [file tempfile name ns_connchan-ca]
        file delete $name
        set ::env(NS_CONNCHAN_TEST_CA) $name
        set ::caIsOurs 1
    }
    set folder $::env(NS_CONNCHAN_TEST_CA)
    if {![file exists $folder]} {
        caMake $folder
    }
    return $folder
}

# Deletes the folder, if this process has thought of it.
proc caForget {} {
    if {[info exists ::caIsOurs]} {
        file delete -force $::env(NS_CONNCHAN_TEST_CA)
        unset ::caIsOurs ::env(NS_CONNCHAN_TEST_CA)
    }
}

# Makes everything in a folder beside the final one, which then gets its name: whoever sees the
# folder sees it complete.
proc caMake {folder} {
    set work $folder.new
    file delete -force $work
    file mkdir $work
    set before [pwd]
    cd $work
    try {
        caMakeHere
    } finally {
        cd $before
    }
    file rename $work $folder
}

proc openssl {args} {
    return [exec -ignorestderr openssl {*}$args 2> /dev/null]
}

proc caMakeHere {} {
    caWrite ca.cnf {
        [req]
        distinguished_name = dn
        prompt = no
        [dn]
        [ca]
        default_ca = ca
        [ca]
        database = index.txt
        new_certs_dir = .
        default_md = sha256
        policy = any
        rand_serial = yes
        unique_subject = no
        [any]
        commonName = supplied
        [authority]
        basicConstraints = critical,CA:TRUE
        keyUsage = critical,keyCertSign,cRLSign
        subjectKeyIdentifier = hash
    }
    caWrite index.txt ""
    foreach key {root intermediate stranger leaf other} {
        openssl ecparam -name prime256v1 -genkey -noout -out $key.key
    }
    openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.key
    openssl pkey -in leaf.key -aes256 -passout pass:secret -out encrypted.key

    caIssue root - {Test Root} {} -extensions authority
    caIssue stranger - {Test Stranger} {} -extensions authority
    caIssue intermediate root {Test Intermediate} {} -extensions authority

    set here DNS:localhost,IP:127.0.0.1,IP:::1
    caLeaf server localhost $here
    caLeaf renewed renewed $here
    caLeaf rsa rsa $here -key rsa.key
    caLeaf alpha alpha.test DNS:alpha.test
    caLeaf beta beta.test DNS:beta.test,DNS:*.beta.test
    caLeaf rsabeta rsabeta DNS:beta.test -key rsa.key
    caLeaf star star DNS:*.wild.test
    caLeaf ip ip IP:127.0.0.1
    caLeaf clientonly clientonly $here -addext extendedKeyUsage=clientAuth
    caLeaf client {Test Client} DNS:client.test -addext extendedKeyUsage=clientAuth
    caIssue selfsigned - localhost $here -key leaf.key
    caIssue unknown stranger localhost $here -key leaf.key
    caIssue strangeclient stranger {Strange Client} DNS:client.test -key leaf.key
    # Signed by what is no authority
    caIssue nested server nested $here -key other.key -CAkey leaf.key
    caDated expired 20200101000000Z 20210101000000Z $here
    caDated future 20900101000000Z 20910101000000Z $here
    foreach name {selfsigned unknown strangeclient} {
        file copy $name.crt $name.pem
    }
    caJoin nested.pem nested.crt server.crt intermediate.crt
    foreach name {server renewed alpha beta star ip clientonly client expired future selfsigned
        unknown strangeclient} {
        caJoin $name.all $name.pem leaf.key
    }
    foreach name {rsa rsabeta} {
        caJoin $name.all $name.pem rsa.key
    }

    # Several ways to show less or more than one should
    caLeaf cnonly 127.0.0.1 {}
    caJoin cnonly.all cnonly.pem leaf.key
    caJoin bad.all server.pem other.key
    caJoin server.bare server.crt leaf.key
    caJoin unknown.full unknown.crt stranger.crt leaf.key
    caJoin nested.all nested.pem other.key
    caJoin both.crt stranger.crt root.crt

    # What is no certificate, and a folder of the kind that -capath names
    caWrite garbage.pem "this is no certificate\n"
    caWrite empty.pem ""
    file mkdir capath nothing
    file copy root.crt capath/[openssl x509 -in root.crt -noout -hash].0
}

# A certificate, valid for a month, with its subject's common name and alternative names. The issuer
# "-" is the certificate itself. Further arguments are options of "openssl req".
proc caIssue {name issuer subject names args} {
    set command [list req -x509 -config ca.cnf -new -days 30 -subj /CN=$subject -out $name.crt]
    if {"-key" ni $args} {
        lappend command -key $name.key
    }
    if {$issuer ne "-"} {
        lappend command -CA $issuer.crt
        if {"-CAkey" ni $args} {
            lappend command -CAkey $issuer.key
        }
    }
    if {$names ne ""} {
        lappend command -addext subjectAltName=$names
    }
    openssl {*}$command {*}$args
}

# A certificate that the intermediate has signed.
proc caLeaf {name subject names args} {
    if {"-key" ni $args} {
        lappend args -key leaf.key
    }
    caIssue $name intermediate $subject $names {*}$args
    caJoin $name.pem $name.crt intermediate.crt
}

# The same with dates of our choice, which "openssl req" cannot do.
proc caDated {name from until names} {
    caWrite $name.ext subjectAltName=$names
    openssl req -config ca.cnf -new -key leaf.key -subj /CN=$name -out $name.csr
    openssl ca -batch -notext -config ca.cnf -in $name.csr -out $name.crt -cert intermediate.crt \
        -keyfile intermediate.key -startdate $from -enddate $until -extfile $name.ext
    caJoin $name.pem $name.crt intermediate.crt
}

proc caWrite {name text} {
    set file [open $name w]
    puts -nonewline $file $text
    close $file
}

proc caJoin {name args} {
    set text ""
    foreach part $args {
        set file [open $part]
        append text [read $file]
        close $file
    }
    caWrite $name $text
}
