package doctor

func settingIllnesses() []illness {
	listens := func(address string) func(*sick) { return func(n *sick) { n.cfg.WebListenAddress = address } }
	return []illness{
		{name: "the metrics are open to all", make: listens(":10261"), check: "configuration", verdict: Attention, says: []string{"whoever reaches :10261", "webConfigFile", restartAgent}},
		{name: "the metrics are open to a network", make: listens("192.0.2.10:10261"), check: "configuration", verdict: Attention, says: []string{"whoever reaches 192.0.2.10:10261"}},
		{name: "the metrics are for this machine", make: listens("[::1]:10261"), check: "configuration", verdict: OK, says: []string{"webListenAddress: [::1]:10261"}},
		{name: "no port", make: listens(""), check: "configuration", verdict: OK, says: []string{"webListenAddress: ;"}},
		{name: "once", make: func(n *sick) { n.cfg.Once = true }, check: "configuration", verdict: Attention, says: []string{"nothing is rotated"}},
		{name: "a file that is not there", make: func(n *sick) { n.cfg.WebConfigFile = "/not/there.yaml" }, check: "configuration", verdict: Attention, says: []string{"webConfigFile needs /not/there.yaml"}},
		{name: "a folder that is not there", make: func(n *sick) { n.cfg.Textfile = "/not/there/agent.prom" }, check: "configuration", verdict: Attention, says: []string{"textfile needs /not/there,"}},
		{name: "its own paths", make: func(*sick) {}, check: "configuration", verdict: OK, says: []string{"certDir: ", "hostnameOverride: worker-1; the others are the defaults"}},
		{name: "as root", make: func(*sick) {}, check: "rights", verdict: OK, says: []string{"root"}},
	}
}
