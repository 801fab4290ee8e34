package node

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// MachineIDFile is where the machine's ID is (machine-id(5)); the kubelet reports it as status.nodeInfo.machineID of its Node.
const MachineIDFile = "/etc/machine-id"

var machineID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// MachineID reads the machine's ID, 32 hexadecimal digits. An image that was not booted yet has none: the file is empty, or says
// uninitialized.
func MachineID(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	id := strings.TrimSpace(string(text))
	if !machineID.MatchString(id) {
		return "", fmt.Errorf("%s holds no machine ID", path)
	}
	return id, nil
}
