package doctor

import "slices"

// local are the checks of what is on this machine.
func local() []Check {
	return slices.Concat(settingChecks(), identityChecks(), kubeconfigChecks(), fileChecks(), clockChecks(), serviceChecks(), kubeletChecks(), copyChecks())
}
