package scenarios

// disk are those of the disk.
var disk = []Scenario{
	{"disk-full", "the disk of the cert-dir is full", "no space left on device", notInTime, GoesOn, Signs{
		`errors_total{phase="disk",reason="full"} > 0`, "BootstrapStuck",
		waiting, "no client certificate yet", "space broken",
		"free space or inodes (`df`, `df -i`); the agent goes on by itself within a minute",
	}},
	{"disk-out-of-inodes", "the disk of the cert-dir runs out of inodes while the agent waits", "no space left on device", notInTime, GoesOn, Signs{
		`errors_total{phase="disk",reason="full"} > 0`, "BootstrapStuck CSRPending? ServingPlaceholder",
		waiting, "no client certificate yet", "space broken",
		"free space or inodes (`df`, `df -i`); the agent goes on by itself within a minute",
	}},
	{"disk-read-only", "the cert-dir becomes read-only while the agent waits, or before it starts (run --once)", "read-only file system", misuse, GoesOn, Signs{
		`errors_total{phase="disk",reason="read-only"} > 0`, "BootstrapStuck CSRPending? ServingPlaceholder",
		waiting, "no client certificate yet", "storage broken",
		"remount it read-write, look at `dmesg` first; or add the folder to `ReadWritePaths=` of the unit; the agent goes on by itself",
	}},
	{"disk-full-after-the-client", "the disk of the cert-dir fills up when the client certificate is stored and the serving one is not", "no space left on device", placeholder, GoesOn, Signs{
		`errors_total{phase="disk",reason="full"} > 0`, "CSRPending? ServingPlaceholder",
		attention, "placeholder", "space broken",
		"free space or inodes (`df`, `df -i`); the agent goes on by itself within a minute",
	}},
	{"kubeconfig-folder-read-only", "the folder of the kubelet's kubeconfig is read-only", "read-only file system", notInTime, GoesOn, Signs{
		`errors_total{phase="disk",reason="read-only"} > 0`, "BootstrapStuck ServingPlaceholder",
		broken, "kubelet kubeconfig", "storage broken",
		"remount it read-write, or add the folder to `ReadWritePaths=` of the unit (`bootstrap-agent config check --systemd` prints the lines)",
	}},
	{"bootstrap-folder-read-only", "the folder of the bootstrap kubeconfig is read-only when that is to be deleted", "the used bootstrap credential is still on the disk", done, GoesOn, Signs{
		"bootstrap_token_present == 1", "TokenPresent",
		attention, "a bootstrap credential is still in", "bootstrap-kubeconfig attention",
		"make the folder writable or remove the file by hand; the agent tries again every hour",
	}},
	{"open-files-used-up", "the agent may open no more files", "too many open files", notInTime, GoesOn, Signs{
		"", "Down",
		waiting, "no client certificate yet", "csr waiting",
		"raise the agent's limit (`LimitNOFILE=` of its unit) or the machine's (`sysctl fs.file-max`); its metrics cannot be had meanwhile",
	}},
	{"file-size-limited", "the agent may write no files", "file too large", notInTime, GoesOn, Signs{
		`errors_total{phase="disk",reason="other"} > 0`, "BootstrapStuck CSRPending? ServingPlaceholder",
		waiting, "no client certificate yet", "csr waiting",
		"raise the agent's limit (`LimitFSIZE=` of its unit)",
	}},
	{"files-unreadable-for-a-while", "the files of a node that has joined cannot be read for a while", "too many open files", done, GoesOn, Signs{
		"", "Down",
		attention, "a bootstrap credential is still in", "bootstrap-kubeconfig attention",
		"raise the agent's limit (`LimitNOFILE=` of its unit); nothing was lost, and nothing is asked for meanwhile",
	}},
}
