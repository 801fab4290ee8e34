// Package machine boots real systemd for tests: a throw-away machine with the project's own Debian root file system
// (make node-root), in a network namespace on a bridge that the tests share.
//
// A package of tests hands its TestMain to [Main], which runs it in network, mount and PID namespaces of its own: whatever happens to it,
// its processes, mounts and interfaces are gone with it. [Boot] starts a machine in about a second. Tests change its files before it starts
// (Options.Prepare), run commands in it, cut its power, start it again on the same disk.
//
// Left to others: the control plane that it joins, and what is installed on it.
//
// Linux only, root only; needs systemd-nspawn, nsenter and ip.
package machine
