package doctor

import (
	"context"
	"slices"
	"strings"

	"github.com/bootstrap-agent/bootstrap-agent/internal/unit"
)

// kubeletService holds the kubelet's unit against what is shipped as kubelet.service.d/20-bootstrap-agent.conf.
func kubeletService(_ context.Context, p *Patient) []Result {
	k, agent := p.readService(kubeletUnit), p.readService(unit.Name)
	switch {
	case agent.file == "":
		return nil // agent-service says so
	case k.masked:
		return one(attention("%s is masked (%s): the node has no kubelet", kubeletUnit, k.file).with(asRoot, "systemctl unmask "+kubeletUnit+" && systemctl enable --now "+kubeletUnit))
	case k.file == "":
		return one(unknown("%s is not there: whether the kubelet waits for the agent cannot be told", kubeletUnit).with("see that what starts the kubelet has Wants= and After="+unit.Name, ""))
	}
	var found []Result
	if tied := ties(k); tied != "" {
		found = append(found, attention("%s has %s: the kubelet is stopped with the agent", kubeletUnit, tied).
			with("say Wants= in its place, and, "+asRoot, "systemctl edit --full "+kubeletUnit))
	}
	if lacks := lacksOf(k, agent); len(lacks) > 0 {
		found = append(found, attention("%s lacks %s", kubeletUnit, strings.Join(lacks, ", ")).with(asRoot, kubeletDropIn))
	}
	return orWell(found, "%s starts after the agent, does not need it to go on, and is started again when it ends", kubeletUnit)
}

// ties are the settings with which systemd stops the kubelet when the agent is stopped.
func ties(k service) string {
	for _, name := range []string{"Requires", "BindsTo", "PartOf", "Requisite"} {
		if slices.Contains(k.words("Unit."+name), unit.Name) {
			return name + "=" + unit.Name
		}
	}
	return ""
}

// lacksOf says what a kubelet's unit needs that it has not. The order may be said by either unit.
func lacksOf(k, agent service) []string {
	var lacks []string
	if missingOf(k, "Unit.Wants", unit.Name) != "" && ties(k) == "" {
		lacks = append(lacks, "Wants="+unit.Name)
	}
	if missingOf(k, "Unit.After", unit.Name) != "" && missingOf(agent, "Unit.Before", kubeletUnit) != "" {
		lacks = append(lacks, "After="+unit.Name)
	}
	if restart := k.last("Service.Restart"); restart != "always" {
		lacks = append(lacks, "Restart=always (without its certificates a kubelet ends at once)")
	}
	if k.last("Unit.StartLimitIntervalSec") != "0" && k.last("Unit.StartLimitInterval") != "0" {
		lacks = append(lacks, "StartLimitIntervalSec=0 (systemd gives it up when it ends a few times)")
	}
	return lacks
}

// kubeletDropIn is what the package ships, for where it is not in force.
const kubeletDropIn = `mkdir -p /etc/systemd/system/kubelet.service.d && printf '%s\n' '[Unit]' Wants=` + unit.Name + ` After=` + unit.Name +
	` StartLimitIntervalSec=0 '[Service]' Restart=always RestartSec=5s >/etc/systemd/system/kubelet.service.d/90-bootstrap-agent.conf && systemctl daemon-reload`
