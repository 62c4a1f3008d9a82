/*
 * proxy-worker.c -- a worker program for ns_proxy, in C, with a command of its own.
 *
 *   cc -I/usr/include/tcl8.6 -o proxy-worker proxy-worker.c /path/to/libnsproxy.so -ltcl8.6
 *
 *   ns_proxy configure pool -exec /path/to/proxy-worker
 *   set h [ns_proxy get pool]
 *   $h hello
 */
#include <tcl.h>

/* In libnsproxy.so: makes an interpreter, calls init, serves requests until there are no more. */
extern int Ns_ProxyMain(int argc, char *const *argv, Tcl_AppInitProc *init);

static int Hello(ClientData data, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[])
{
    Tcl_SetObjResult(interp, Tcl_NewStringObj("hello from C", -1));
    return TCL_OK;
}

static int Init(Tcl_Interp *interp)
{
    Tcl_CreateObjCommand(interp, "hello", Hello, NULL, NULL);
    return TCL_OK;
}

int main(int argc, char **argv)
{
    return Ns_ProxyMain(argc, argv, Init);
}
