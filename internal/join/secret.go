package join

import (
	"fmt"
	"strings"
	"time"

	bootstrapapi "k8s.io/cluster-bootstrap/token/api"
)

// Secret is the manifest that makes the token one of the cluster's, for kubectl apply. It may authenticate, and sign cluster-info.
func (i Invitation) Secret() string {
	until, name := i.Until.UTC().Format(time.RFC3339), bootstrapapi.BootstrapTokenSecretPrefix+i.Token.ID
	var b strings.Builder
	fmt.Fprintf(&b, `# Bootstrap token %s: nodes may join with it until %s. To end it before that, e.g. when they have joined:
# kubectl -n kube-system delete secret %s
apiVersion: v1
kind: Secret
type: %s
metadata:
  namespace: kube-system
  name: %s
stringData:
`, i.Token.ID, until, name, bootstrapapi.SecretTypeBootstrapToken, quoted(name))
	for _, field := range [][2]string{
		{bootstrapapi.BootstrapTokenDescriptionKey, "made by bootstrap-agent join-config, for nodes to join"},
		{bootstrapapi.BootstrapTokenIDKey, i.Token.ID},
		{bootstrapapi.BootstrapTokenSecretKey, i.Token.Secret},
		{bootstrapapi.BootstrapTokenExpirationKey, until},
		{bootstrapapi.BootstrapTokenUsageAuthentication, "true"},
		{bootstrapapi.BootstrapTokenUsageSigningKey, "true"},
		{bootstrapapi.BootstrapTokenExtraGroupsKey, strings.Join(i.Groups, ",")},
	} {
		if field[1] != "" {
			fmt.Fprintf(&b, "  %s: %s\n", field[0], quoted(field[1]))
		}
	}
	return b.String()
}

// StaticTokenLine is the line of kube-apiserver's --token-auth-file that makes the token one of a cluster without bootstrap tokens: with
// the user and the groups that the Secret would give it, so that the same RBAC does for both. Such a token does not end.
func (i Invitation) StaticTokenLine() string {
	user := bootstrapapi.BootstrapUserPrefix + i.Token.ID
	groups := append([]string{bootstrapapi.BootstrapDefaultGroup}, i.Groups...)
	return fmt.Sprintf("%s,%s,%s,\"%s\"\n", text(i.Token), user, user, strings.Join(groups, ","))
}
