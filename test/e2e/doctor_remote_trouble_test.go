package e2e

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/doctor"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// examineWith is a node that has nothing but a bootstrap kubeconfig with this token.
func examineWith(t *testing.T, cp *controlplane.ControlPlane, token string) (*node, examined) {
	t.Helper()
	n := newNode(t, cp)
	_, secret, _ := strings.Cut(token, ".")
	n.secret([]byte(secret))
	n.bootstrap(clientcmdapi.AuthInfo{Token: token})
	n.keeps(n.bootstrapFile())
	return n, n.examine()
}

func tellsWhyATokenIsNotAccepted(t *testing.T, cp *controlplane.ControlPlane) {
	publishClusterInfo(t, cp)

	n, f := examineWith(t, cp, "abcdef.0123456789abcdef")
	r := f.says("who-am-i", doctor.Broken, "(401): the bootstrap token with the ID abcdef is unknown there, has expired, or may not be used to log in", "get secret bootstrap-token-abcdef")
	if strings.Contains(r.Text+r.Remedy+r.Command, "0123456789abcdef") {
		t.Error("it shows the secret")
	}
	f.says("csr-access", doctor.Unknown, "not looked at: the bootstrap credential could not be shown to be accepted")
	if asked := n.questions(); asked != 3 {
		t.Errorf("it has asked %d questions, expected 3: version, who am I, cluster-info", asked)
	}

	expired, err := cp.CreateBootstrapToken(t.Context(), controlplane.TokenOptions{TTL: -time.Minute})
	must(t, err)
	_, f = examineWith(t, cp, expired)
	f.says("who-am-i", doctor.Broken, "is unknown there, has expired")

	good, err := cp.CreateBootstrapToken(t.Context(), controlplane.TokenOptions{})
	must(t, err)
	id, _, _ := strings.Cut(good, ".")
	awaitSigned(t, cp, id)
	_, f = examineWith(t, cp, id+".0000000000000000")
	f.says("who-am-i", doctor.Broken, "the bootstrap token with the ID "+id+" is there with another secret")

	disabled, err := cp.CreateBootstrapToken(t.Context(), controlplane.TokenOptions{})
	must(t, err)
	id, _, _ = strings.Cut(disabled, ".")
	awaitSigned(t, cp, id)
	secrets := cp.AdminClient().CoreV1().Secrets(metav1.NamespaceSystem)
	secret, err := secrets.Get(t.Context(), "bootstrap-token-"+id, metav1.GetOptions{})
	must(t, err)
	secret.Data["usage-bootstrap-authentication"] = []byte("false")
	_, err = secrets.Update(t.Context(), secret, metav1.UpdateOptions{})
	must(t, err)
	var refused doctor.Result
	eventually(t, "the API server refuses the disabled token", func() bool {
		n, f = examineWith(t, cp, disabled)
		for _, r := range f.Results {
			if r.Check == "who-am-i" && r.Verdict == doctor.Broken {
				refused = r
			}
		}
		return refused.Check != ""
	})
	refused = f.says("who-am-i", doctor.Broken, "is there (it has signed kube-public/cluster-info), and may not be used to log in", "usage-bootstrap-authentication")
	n.administer(refused)
	eventually(t, "the remedy works", func() bool {
		f = n.examine()
		return strings.Contains(f.String(), "takes the bootstrap credential for system:bootstrap:"+id)
	})
	f.says("who-am-i", doctor.OK, "system:bootstrap:"+id)
}

// publishClusterInfo makes kube-public/cluster-info, which bootstrapsigner signs, as kubeadm does.
func publishClusterInfo(t *testing.T, cp *controlplane.ControlPlane) {
	t.Helper()
	ctx, admin := t.Context(), cp.AdminClient()
	kubeconfig, err := cp.Kubeconfig("", clientcmdapi.AuthInfo{})
	must(t, err)
	if _, err := admin.CoreV1().Namespaces().Get(ctx, metav1.NamespacePublic, metav1.GetOptions{}); err != nil {
		_, err = admin.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespacePublic}}, metav1.CreateOptions{})
		must(t, err)
	}
	_, err = admin.CoreV1().ConfigMaps(metav1.NamespacePublic).Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "cluster-info"}, Data: map[string]string{"kubeconfig": string(kubeconfig)},
	}, metav1.CreateOptions{})
	must(t, err)
	_, err = admin.RbacV1().Roles(metav1.NamespacePublic).Create(ctx, &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "bootstrap-signer-clusterinfo"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{"cluster-info"}, Verbs: []string{"get"}}},
	}, metav1.CreateOptions{})
	must(t, err)
	_, err = admin.RbacV1().RoleBindings(metav1.NamespacePublic).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "bootstrap-signer-clusterinfo"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "bootstrap-signer-clusterinfo"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "system:anonymous"}},
	}, metav1.CreateOptions{})
	must(t, err)
}

func awaitSigned(t *testing.T, cp *controlplane.ControlPlane, id string) {
	t.Helper()
	eventually(t, "cluster-info is signed with token "+id, func() bool {
		info, err := cp.AdminClient().CoreV1().ConfigMaps(metav1.NamespacePublic).Get(t.Context(), "cluster-info", metav1.GetOptions{})
		return err == nil && info.Data["jws-kubeconfig-"+id] != ""
	})
}

func TestDoctorTellsOfARequestThatWaitsAndRunsItsApproval(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.bootstrap(n.staticToken(controlplane.Unapproved))
	d := n.start()
	name := n.csr(csr.Client).Name
	d.awaitStatus("waiting for approval")
	f := n.examine()
	f.says("who-am-i", doctor.OK, "for unapproved in test:unapproved")
	f.says("csr-approval", doctor.Attention, "approved by a person each time", "--user=unapproved")
	f.says("bootstrap-credential", doctor.OK, "static token")
	n.administer(f.says("csr", doctor.Waiting, name+" waits for approval since "+time.Now().UTC().Format("2006-01-02T")))
	eventually(t, "the node has its kubeconfig", func() bool { return isThere(n.kubeconfig()) })

	serving := n.csr(csr.Serving).Name
	eventually(t, "the serving request is noted", func() bool { return strings.Contains(n.examine().String(), serving+" waits for approval") })
	n.examine().says("csr", doctor.Attention, serving, "nothing in a stock cluster approves serving certificates", "kubectl certificate approve "+serving)
	must(t, n.cp.Deny(t.Context(), serving, "NamesUnknown", "10.1.2.3 is nobody's \x1b[31m"))
	f = n.examine()
	f.says("csr", doctor.Attention, serving+" was denied at ", "NamesUnknown: 10.1.2.3 is nobody's", "kubectl describe csr "+serving)
	if strings.Contains(f.String(), "\x1b") {
		t.Error("the approver's words command the terminal")
	}
	must(t, n.cp.Delete(t.Context(), serving))
	n.examine().says("csr", doctor.Attention, serving+" is not at "+n.cp.Server()+" any more")
}

func TestDoctorTellsOfADeniedAndOfAFailedClientRequest(t *testing.T) {
	t.Parallel()
	for what, end := range map[string]func(*node, string) error{
		"was denied at ": func(n *node, name string) error {
			return n.cp.Deny(n.t.Context(), name, "NotInInventory", "who is that")
		},
		"and the signer refused it at ": func(n *node, name string) error {
			return n.cp.Fail(n.t.Context(), name, "SignerValidationFailure", "who is that")
		},
	} {
		n := newNode(t, shared(t))
		n.bootstrap(n.staticToken(controlplane.Unapproved))
		n.keeps(n.bootstrapFile())
		n.once("--timeout=1s")
		name := n.csr(csr.Client).Name
		must(t, end(n, name))
		n.examine().says("csr", doctor.Broken, name, what, ": who is that", "kubectl describe csr "+name)
	}
}

// What is wrong with the way is said once, and what lies behind it is not looked at.
func TestDoctorTellsWhatIsWrongWithTheWay(t *testing.T) {
	t.Parallel()
	for _, trouble := range []struct {
		name    string
		lead    func(*way)
		check   string
		verdict doctor.Verdict
		says    []string
	}{
		{"down", (*way).down, "tcp", doctor.Waiting, []string{"refuses connections", "crictl ps -a --name kube-apiserver"}},
		{"hanging", (*way).hang, "tls", doctor.Waiting, []string{"there is no TLS handshake within 8s"}},
		{"without a backend", (*way).closing, "tls", doctor.Waiting, []string{"takes a connection and ends it at once"}},
		{"of another CA", (*way).anotherCA, "tls", doctor.Broken, []string{"is not signed by the CA in", "unknown-ca", "kubectl config view --raw --minify --flatten"}},
		{"under another name", func(w *way) {
			w.seen = w.proxy.Handler(w.certificate(controlplane.ServingOptions{DNSNames: []string{"api.example.com", "kubernetes"}}), nil)
		}, "tls", doctor.Broken, []string{"is for api.example.com, kubernetes, and not for 127.0.0.1", "tls-server-name"}},
		{"with a certificate that is not valid yet", (*way).notYetValid, "tls", doctor.Broken, []string{"is valid from", "the clock of this machine says"}},
		{"with an expired certificate", (*way).expired, "tls", doctor.Broken, []string{"is valid from", "the clock of this machine says"}},
	} {
		t.Run(trouble.name, func(t *testing.T) {
			t.Parallel()
			w := newWay(t, trouble.lead)
			w.keeps(w.bootstrapFile())
			f := w.examine()
			f.says(trouble.check, trouble.verdict, trouble.says...)
			f.nothingLookedAtAfter(trouble.check)
			if left := w.seen.Requests(); len(left) > 1 {
				t.Errorf("%d requests have come through, of which one is for the time", len(left))
			}
		})
	}
}

func TestDoctorTellsOfANameThatDoesNotResolve(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.bootstrapVia("https://api.invalid:6443", n.secretToken())
	n.keeps(n.bootstrapFile())
	f := n.examine()
	for _, r := range f.Results {
		if r.Check == "dns" && (r.Verdict == doctor.OK || r.Command != "getent ahosts api.invalid") {
			t.Errorf("%s: %s", r.Verdict, r.Text)
		}
	}
	f.nothingLookedAtAfter("dns")
}

// The API server's own time tells whose clock is wrong.
func TestDoctorTellsWhoseClockIsWrong(t *testing.T) {
	t.Parallel()
	n := joinedNode(t, shared(t))
	for by, want := range map[time.Duration]struct {
		verdict doctor.Verdict
		says    []string
	}{
		time.Minute:           {doctor.Attention, []string{"is 1m ahead of that of " + n.cp.Server(), "timedatectl set-ntp true"}},
		-20 * time.Minute:     {doctor.Broken, []string{"is 20m behind that of ", "certificates are not valid yet"}},
		72 * time.Hour:        {doctor.Broken, []string{"this machine's clock is 3 days ahead of that of ", "is not valid by it"}},
		-365 * 24 * time.Hour: {doctor.Broken, []string{"this machine's clock is 365 days behind that of ", "is not valid by it"}},
	} {
		n.examine(func(p *doctor.Patient) { p.Clock = wrongClock(by) }).says("api-server-clock", want.verdict, want.says...)
	}
	w := newWay(t, (*way).expired)
	w.keeps(w.bootstrapFile())
	w.examine().says("api-server-clock", doctor.Broken, "so that its certificate, valid from", "is not valid there either", "kubeadm certs renew apiserver")
}

func TestDoctorTellsWhatIsWrongWithTheNodeObject(t *testing.T) {
	t.Parallel()
	n := joinedNode(t, shared(t))
	n.examine().says("node-object", doctor.Waiting, "there is no Node "+n.name+" yet")
	n.registers(func(s *corev1.NodeStatus) {
		s.Conditions[0] = corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionFalse, Message: "container runtime network not ready"}
		s.NodeInfo.KubeletVersion, s.NodeInfo.MachineID = "v1.30.4", "ffffffffffffffffffffffffffffffff"
		s.Addresses = append(s.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: "10.9.8.7"}, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: "203.0.113.1"})
	})
	f := n.examine()
	f.says("node-object", doctor.Attention, "is not Ready: container runtime network not ready", "journalctl -b -u kubelet")
	f.says("node-object", doctor.Attention, "the kubelet is of version v1.30.4; before 1.31 it does not look at a new serving certificate", "systemctl restart kubelet")
	f.says("node-object", doctor.Attention, "another machine ID (ffffffffffffffffffffffffffffffff) than this one ("+machineID+")")
	lacks := f.says("node-object", doctor.Attention, "and not for 10.9.8.7, which the Node has", "--node-ip")
	if strings.Contains(lacks.Text, "203.0.113.1") {
		t.Errorf("it misses an external address, which the agent does not ask for: %s", lacks.Text)
	}
}

// A bootstrap kubeconfig for another cluster beside an identity: both control planes are real.
func TestDoctorTellsThatABootstrapKubeconfigIsForAnotherCluster(t *testing.T) {
	t.Parallel()
	n, other := joinedNode(t, shared(t)), newNode(t, split(t))
	content, err := other.cp.Kubeconfig("", other.secretToken())
	must(t, err)
	n.write(n.bootstrapFile(), content, 0o600)
	n.keeps(n.bootstrapFile())
	f := n.examine()
	f.says("who-am-i", doctor.OK, "system:node:"+n.name)
	f.says("same-cluster", doctor.Attention, "the bootstrap kubeconfig is for another cluster, "+other.cp.Server(), "rm "+n.bootstrapFile())
}

// A cluster that was made anew, say, with another CA: the node's certificate is from before.
func TestDoctorTellsThatTheNodesCertificateIsNotAccepted(t *testing.T) {
	t.Parallel()
	n, other := joinedNode(t, shared(t)), split(t)
	content, err := os.ReadFile(n.kubeconfig())
	must(t, err)
	n.write(n.kubeconfig(), []byte(strings.ReplaceAll(string(content), n.cp.Server(), other.Server())), 0o600)
	n.write(n.certDir().ServerCA(), other.CA(), 0o644)
	f := n.examine()
	f.says("who-am-i", doctor.Broken, other.Server()+" does not accept the node's certificate (401), which was issued by CN=", "--client-ca-file", "openssl x509 -noout")
	f.says("csr-access", doctor.Unknown, "not looked at: the node's certificate could not be shown to be accepted")
}

// Two who may create CSRs and lack something else.
func TestDoctorTellsOfACredentialWithoutRights(t *testing.T) {
	t.Parallel()
	for user, want := range map[controlplane.User]struct {
		verdict doctor.Verdict
		says    []string
	}{
		controlplane.Stranger: {doctor.Broken, []string{"(stranger) may not create, get, watch", "--clusterrole=system:node-bootstrapper --user=stranger"}},
		controlplane.NoWatch:  {doctor.Attention, []string{"may not watch certificate signing requests", "reads them every"}},
	} {
		n := newNode(t, shared(t))
		n.bootstrap(n.staticToken(user))
		n.keeps(n.bootstrapFile())
		n.examine().says("csr-access", want.verdict, want.says...)
	}
}

// A placeholder is served, and somebody has bound the role that older guides speak of. Here the node may read bindings.
func TestDoctorNamesAUselessBindingThatItCanSee(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.bootstrap(n.secretToken())
	n.expect(n.once("--serving-wait=10ms"), 4)
	ctx, bindings := context.WithoutCancel(t.Context()), n.cp.AdminClient().RbacV1().ClusterRoleBindings()
	for name, role := range map[string]string{"old-guide:" + n.name: "system:certificates.k8s.io:certificatesigningrequests:selfnodeserver", "view:" + n.name: "view-bindings"} {
		_, err := bindings.Create(ctx, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "system:node:" + n.name}},
		}, metav1.CreateOptions{})
		must(t, err)
		t.Cleanup(func() { _ = bindings.Delete(ctx, name, metav1.DeleteOptions{}) })
	}
	f := n.examine()
	if strings.Contains(f.String(), "serving-approval") {
		t.Errorf("it speaks of bindings that it may not see:\n%s", f)
	}
	_, err := n.cp.AdminClient().RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "view-bindings"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{rbacv1.GroupName}, Resources: []string{"clusterrolebindings"}, Verbs: []string{"list"}}},
	}, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() {
		_ = n.cp.AdminClient().RbacV1().ClusterRoles().Delete(ctx, "view-bindings", metav1.DeleteOptions{})
	})
	eventually(t, "the node may read bindings", func() bool { return strings.Contains(n.examine().String(), "serving-approval") })
	useless := n.examine().says("serving-approval", doctor.Attention, "old-guide:"+n.name, "has no effect", "kubectl delete clusterrolebinding old-guide:")
	n.administer(useless)
	if f := n.examine(); strings.Contains(f.String(), "serving-approval") {
		t.Errorf("after the remedy:\n%s", f)
	}
}

// The command as a person runs it: nothing secret on any way out, and the code that says how bad it is.
func TestDoctorCommandSaysWhatTheChecksSay(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.bootstrap(n.staticToken(controlplane.Stranger))
	n.keeps(n.bootstrapFile())
	n.expect(n.run([]string{"doctor"}), 3, "csr-access", "may not create, get, watch certificate signing requests", "kubectl create clusterrolebinding")
	n.expect(n.run([]string{"doctor"}, "-o", "json"), 3, `"check": "csr-access"`, `"verdict": "broken"`)
	if os.Getenv("SOAK") != "" {
		n.expect(n.run([]string{"doctor"}, "--offline"), 3)
	}
}
