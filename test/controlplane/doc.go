// Package controlplane starts and stops a real Kubernetes control plane for tests: etcd, kube-apiserver and
// kube-controller-manager on 127.0.0.1, with certificates, tokens and RBAC of its own. Nothing in it is faked.
//
// A control plane approves kubelet client CSRs of bootstrap tokens and nodes, signs what is approved, and never approves a
// serving CSR, as a stock cluster does. Tests say who asks (CreateBootstrapToken, Token, ClientCertificate), decide what the
// stock cluster leaves to a person (Approve, Deny, Fail, ApproveServing), stop and start what can fail (StopAPIServer,
// PauseControllerManager, …) and read from the audit log what was really asked (Requests).
//
// Promised: nothing that was started here outlives Stop, nor the test binary, however that ends. Several control planes may
// run side by side. Left to others: building the programs (make control-plane), and faults of the network (package faultproxy).
//
// Linux only, as the agent is.
package controlplane
