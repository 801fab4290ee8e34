package docs

// ofTheCluster are the tests of what the control plane does about requests: here with the agent's own requests, at a real one.
var ofTheCluster = []upstream{
	{"kubernetes: pkg/controller/certificates/signer/signer_test.go", []conforming{
		{
			test:  "TestSigner",
			about: "the signer keeps subject and names, gives the usages that were asked for, and dates back",
			ours:  "nothing else than that is taken",
			shown: []string{"test/e2e TestEveryRequestOfOursIsSignedAsItAsksAndForAsLong", "internal/csr TestAnIssuedCertificateMustBeWhatWasAskedFor"},
		},
		{
			test: "TestHandle", cases: 13,
			about: "which requests a signer signs, fails, or leaves alone",
			ours:  "the agent's requests are signed; each like them that breaks a rule fails",
			shown: []string{
				"test/e2e TestEveryRequestOfOursIsSignedAsItAsksAndForAsLong", "test/e2e TestARequestLikeOursThatBreaksARuleOfTheSignersFails",
				"internal/csr TestTheRequestsSatisfyTheSigners",
			},
		},
		{
			test: "Test_signer_duration", cases: 7,
			about: "the life that is asked for is given, between ten minutes and the cluster's own duration",
			ours:  "asked for from half an hour up; what is given is what counts",
			shown: []string{"test/e2e TestEveryRequestOfOursIsSignedAsItAsksAndForAsLong", "test/e2e TestALifeUnderTenMinutesIsRefusedByTheAPIServer"},
		},
	}},
	{"kubernetes: test/integration/certificates/duration_test.go", []conforming{
		{
			test: "TestCSRDuration", cases: 11,
			about: "the same at an API server, which stores no request for less than ten minutes",
			ours:  "the same",
			shown: []string{"test/e2e TestEveryRequestOfOursIsSignedAsItAsksAndForAsLong", "test/e2e TestALifeUnderTenMinutesIsRefusedByTheAPIServer"},
		},
	}},
	{"kubernetes: pkg/controller/certificates/approver/sarapprove_test.go", []conforming{
		{
			test: "TestHandle", cases: 4,
			about: "a request that is recognised is approved if its sender has the right, else left alone",
			ours:  "a token's and a node's are approved; without the right the request waits, and is not repeated",
			shown: []string{"test/e2e TestTheClusterApprovesOurClientRequestsByItselfAndNeverTheServingOnes", "test/controlplane TestAnUnapprovedUsersCSRStaysPendingUntilItIsApproved"},
		},
		{
			test: "TestRecognizers", cases: 36,
			about: "which requests are recognised as a node's, and as a node's own",
			ours:  "the agent's client requests are; each like them that is not is left alone",
			shown: []string{"test/e2e TestTheClusterApprovesOurClientRequestsByItselfAndNeverTheServingOnes"},
		},
	}},
	{"kubernetes: test/integration/certificates/controller_approval_test.go", []conforming{
		{
			test: "TestController_AutoApproval", cases: 3,
			about: "a node's own request and a token's are approved, and none for another signer",
			ours:  "the same; serving requests never",
			shown: []string{"test/e2e TestTheClusterApprovesOurClientRequestsByItselfAndNeverTheServingOnes"},
		},
	}},
	{"kubernetes: pkg/controller/certificates/cleaner/cleaner_test.go", []conforming{
		{
			test: "TestCleanerWithApprovedExpiredCSR", cases: 14,
			about: "requests are deleted an hour after they were issued, denied or failed, and a day after nobody has answered",
			ours:  "the same request is sent again, at once after a day and else after a minute; what was denied or failed is not missed",
			shown: []string{
				"internal/agent TestARequestThatTheClusterCleansUpIsNeverFollowedByAnotherKey", "internal/agent TestADeletedRequestIsSentAgainAtOnceOnlyIfTheClusterCleanedItUp",
				"internal/agent TestARequestThatTheClusterCleansUpIsSentAgainOnceADay", "internal/agent TestARequestIsSentAgainAtOnceOnlyOnceADay",
			},
		},
	}},
	{"kubernetes: plugin/pkg/admission/noderestriction/admission_test.go", []conforming{
		{
			test: "Test_nodePlugin_Admit", cases: 6,
			about: "of its cases those about requests: a node may ask for itself only",
			ours:  "a node asks under the name that it has; the one that the machine has got since needs a bootstrap credential",
			shown: []string{"test/e2e TestANodeMayAskForACertificateOfItsOwnNameOnly", "internal/agent TestAClientCertificateForTheNameThatTheMachineHadIsKeptAndNotAskedForAnew"},
		},
	}},
	{"kubernetes: test/integration/auth/node_test.go", []conforming{
		{
			test:  "TestNodeAuthorizer",
			about: "what a node may read and change; none of its cases is about requests",
			ours:  "the agent asks as a node for requests, for who it is, and for its own Node: these are allowed, other Nodes are not",
			shown: []string{"test/e2e TestANodeMayReadItselfAndRequestsAndNoOtherNode"},
		},
	}},
	{"kubernetes: plugin/pkg/admission/certificates", []conforming{
		{
			test:  "subjectrestriction TestPlugin_Validate",
			about: "nobody gets into system:masters by a request",
			ours:  "the plugin is on, and no request of the agent is refused by it",
			shown: []string{"test/e2e TestWhoAsksCanNeitherApproveNorSignNorAskForMore", "test/e2e TestEveryRequestOfOursIsSignedAsItAsksAndForAsLong"},
		},
		{
			test:  "approval TestPlugin_Validate",
			about: "approving needs a right to the signer",
			ours:  "neither token nor node has it: the agent never approves",
			shown: []string{"test/e2e TestWhoAsksCanNeitherApproveNorSignNorAskForMore"},
		},
		{
			test:  "signing TestPlugin_Validate",
			about: "signing needs a right to the signer",
			ours:  "neither token nor node has it",
			shown: []string{"test/e2e TestWhoAsksCanNeitherApproveNorSignNorAskForMore"},
		},
	}},
	{"kubernetes: test/e2e_node", []conforming{
		{
			test:  "kubelet_tls_test.go: should reload certificates from disk",
			about: "a kubelet serves a new pair within a minute",
			ours:  "within two seconds of each swap",
			shown: []string{"test/e2e TestARealKubeletServesEveryPairThatTheAgentPutsThereWithoutARestart"},
		},
		{
			test:  "kubelet_server_tls_test.go: should reload certificates from disk",
			about: "a kubelet lets in whom a new CA file names, within a minute",
			ours:  "the same, with the file that the agent writes",
			shown: []string{"test/e2e TestARealKubeletFollowsItsClientCertificateAndWhoMayCallItWithoutARestart"},
		},
	}},
}

// ofTheBootstrap are the tests of bootstrap tokens, and of what kubeadm finds out with one.
var ofTheBootstrap = []upstream{
	{"kubernetes: pkg/controller/bootstrap/tokencleaner_test.go", []conforming{
		{
			test:  "TestCleanerNoExpiration",
			about: "a token without an end stays",
			ours:  "used, and deleted from the node's disk",
			shown: []string{"test/e2e TestATokenBecomesBothCertificatesAndIsDeleted"},
		},
		{
			test:  "TestCleanerExpired",
			about: "an expired token is deleted",
			ours:  "refused, it is tried again, ever more seldom; a new one goes on with the same request",
			shown: []string{"test/controlplane TestAnExpiredBootstrapTokenIsCleanedAway", "test/e2e TestANewTokenGoesOnWithTheRequestOfOneThatHasEnded"},
		},
		{
			test:  "TestCleanerNotExpired",
			about: "one that has not expired stays",
			ours:  "used",
			shown: []string{"test/e2e TestASlowClusterIsWaitedForWithOneRequest: the token expires and is cleaned away before anybody approves"},
		},
		{
			test:  "TestCleanerExpiredAt",
			about: "a token is deleted when its time comes",
			ours:  "the watch that was begun with it brings the certificate all the same",
			shown: []string{"test/e2e TestASlowClusterIsWaitedForWithOneRequest: the token expires and is cleaned away before anybody approves"},
		},
	}},
	{"kubernetes: pkg/controller/bootstrap/bootstrapsigner_test.go", []conforming{
		{
			test: "TestNoConfigMap, TestSimpleSign, TestNoSignNeeded, TestUpdateSignature, TestRemoveSignature", cases: 5,
			about: "cluster-info is signed with each token",
			ours:  "the signer is the cluster's; a node waits until its token has signed",
			shown: []string{"test/e2e TestDiscoveryAtAControlPlane: waits for what the cluster has not yet"},
		},
	}},
	{"kubernetes: pkg/controller/bootstrap/util_test.go", []conforming{
		{
			test: "TestValidateSecretForSigning", cases: 8,
			about: "which tokens sign",
			ours:  "a token that has not signed is named, with the Secret to look at",
			shown: []string{"internal/discovery TestTheSignatureOfAnotherTokenIsNone", "test/e2e TestDiscoveryAtAControlPlane: waits for what the cluster has not yet"},
		},
	}},
	{"cluster-bootstrap: token/jws/jws_test.go", []conforming{
		{
			test: "TestComputeDetachedSignature", cases: 3,
			about: "the bytes of a signature",
			shown: []string{"internal/discovery TestASignatureIsThatOfKubernetesToTheByte"},
		},
		{
			test: "TestDetachedTokenIsValid", cases: 2,
			about: "a signature fits its content only",
			shown: []string{"internal/discovery TestASignatureThatIsAlmostRightIsWrong"},
		},
	}},
	{"kubernetes: cmd/kubeadm/app/util/pubkeypin/pubkeypin_test.go", []conforming{
		{
			test: "TestSet, TestHash", cases: 2,
			about: "a CA is pinned by the hash of its public key",
			shown: []string{"internal/discovery TestAPinIsTheHashOfThePublicKeyAsOpenSSLMakesIt", "internal/discovery TestPinsAreWrittenInUpperOrLowerCase", "internal/discovery TestWhatIsNoPinIsRefused"},
		},
	}},
	{"kubernetes: cmd/kubeadm/app/discovery/token/token_test.go", []conforming{
		{
			test: "TestRetrieveValidatedConfigInfo", cases: 9,
			about: "cluster-info is believed if its signature and its CA are right",
			ours:  "a pin is required, only what is pinned of the CAs or signed by that is kept, and the agent waits for as long as it takes",
			shown: []string{"internal/discovery TestEachHostileServerIsRefusedInItsOwnWordsAndSentNothingSecret", "internal/discovery TestOfClusterInfoServerAndPinnedCAAreUsedAndNothingElse", "test/e2e TestDiscoveryAtAControlPlane: joins with an address, a token and a hash"},
		},
	}},
}
