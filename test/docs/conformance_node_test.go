package docs

// ofTheNode are the tests of what a kubelet does about its certificates.
var ofTheNode = []upstream{
	{"kubernetes: pkg/kubelet/certificate/bootstrap/bootstrap_test.go", []conforming{
		{
			test: "TestLoadClientConfig", cases: 3,
			about: "which kubeconfig is used: the kubelet's own when there is no bootstrap file, or when it is valid; else the bootstrap file, and a new one is written that names the current pair",
			ours:  "the same, but a bootstrap file beside a valid identity is judged by its server's answer, then deleted or told of: a kubelet ignores it for ever, whatever cluster it leads to",
			shown: []string{
				"internal/agent TestEachRequestIsSentWithTheCredentialThatTheStateLeaves", "internal/agent TestDecideClient: expired, and a credential",
				"internal/agent TestABootstrapKubeconfigBesideAnIdentityIsJudgedByItsServersAnswer",
			},
		},
		{
			test:  "TestLoadRESTClientConfig",
			about: "paths in a kubeconfig are relative to it; the current context counts",
			ours:  "the same",
			shown: []string{
				"internal/kubeconfig TestOnlyTheCurrentContextCounts", "internal/kubeconfig TestEachKindOfCredentialIsRead: a token in a file beside it, with a line feed",
				"internal/kubeconfig TestTheClusterIsReadAsItStandsThere: with a CA file beside the kubeconfig",
			},
		},
		{
			test:  "TestRequestNodeCertificateNoKeyData",
			about: "without a key there is no request",
			ours:  "a pending file without its whole key is of no use, and another key is made: a kubelet with an empty key file ends, at each start",
			shown: []string{"internal/csr TestATruncatedFileIsUselessUntilTheRequestIsWhole", "internal/csr TestPartsThatDoNotBelongTogetherAreRefused"},
		},
		{
			test:  "TestRequestNodeCertificateErrorCreatingCSR",
			about: "an error of the API server is returned",
			ours:  "returned, and by its kind the policy says when the same request is sent again",
			shown: []string{"internal/csr TestAnErrorOfTheServerEndsTheAttemptAndNothingIsRepeatedHere", "internal/agent TestEachFailureIsTriedAgainAsThePolicySays"},
		},
		{
			test:  "TestRequestNodeCertificate",
			about: "what was approved and issued is returned",
			ours:  "checked against what was asked for, and used once before it counts",
			shown: []string{"internal/csr TestAskSendsOnceAndWaitsForTheEnd", "internal/csr TestAnIssuedCertificateMustBeWhatWasAskedFor", "test/e2e TestATokenBecomesBothCertificatesAndIsDeleted"},
		},
	}},
	{"kubernetes: cmd/kubelet/app/server_bootstrap_test.go", []conforming{
		{
			test:  "Test_buildClientCertificateManager",
			about: "the first request is sent with the bootstrap credential; a certificate that comes expired is not used, and the credential is used again; later ones are sent by the node itself; each rotation leaves a pair and a link",
			ours:  "the same; what comes expired is never stored as the current one, and of earlier pairs one stays",
			shown: []string{
				"internal/agent TestEachRequestIsSentWithTheCredentialThatTheStateLeaves", "test/e2e TestACertificateThatHasExpiredBeforeItWasProvedIsFollowedByAnother",
				"internal/agent TestACommitLeavesOneClientPairBesideTheNewOne",
			},
		},
		{
			test: "Test_buildClientCertificateManager_populateCertDir", cases: 4,
			about: "a pair that stands inside the kubeconfig is moved to the cert-dir, also an expired one; a meaningless one is an error, and nothing is written",
			ours:  "not taken over: the agent's kubeconfig holds paths, and a node that comes with a pair inside its own joins with a bootstrap credential",
			shown: []string{"internal/agent TestEachRequestIsSentWithTheCredentialThatTheStateLeaves: embedded, and a credential", "internal/kubeconfig TestTheKubeletsKubeconfigHoldsPathsOnly"},
		},
	}},
	{"client-go: util/certificate/certificate_manager_test.go", []conforming{
		{
			test:  "TestNewManagerNoRotation",
			about: "a stored certificate is used, and nothing is asked for",
			ours:  "the same",
			shown: []string{"internal/agent TestEachRequestIsSentWithTheCredentialThatTheStateLeaves: valid"},
		},
		{
			test:  "TestNewManagerBootstrap",
			about: "with a bootstrap pair and an empty store a request follows at once",
			ours:  "the same, with a credential of any kind; a bootstrap client certificate is never stored as the node's",
			shown: []string{"internal/agent TestEachRequestIsSentWithTheCredentialThatTheStateLeaves: nothing, and a credential", "test/e2e TestEveryKindOfCredentialBecomesBothCertificatesAndIsDisposedOf"},
		},
		{
			test:  "TestNewManagerNoBootstrap",
			about: "with a stored certificate the bootstrap pair is not used",
			ours:  "the same: nothing secret of the bootstrap credential is sent",
			shown: []string{"internal/agent TestEachRequestIsSentWithTheCredentialThatTheStateLeaves: valid, and a credential"},
		},
		{
			test: "TestGetCurrentCertificateOrBootstrap", cases: 2,
			about: "the store comes first; without either there is no certificate, and one is wanted",
			ours:  "the same: it waits for a credential, and goes on when there is one",
			shown: []string{"internal/agent TestEachRequestIsSentWithTheCredentialThatTheStateLeaves: nothing", "test/e2e TestWithoutACredentialTheKubeletStartsAtOnceAndALaterOneIsNoticed"},
		},
		{
			test: "TestSetRotationDeadline", cases: 8,
			about: "the deadline lies at 70 % of the life or later, from a minute to a year",
			ours:  "between 70 and 90 % too, but counted from the receipt, the same after each restart, and earlier where a kubelet that looks every five minutes would come too late",
			shown: []string{
				"internal/rotate TestTheLifetimesOfTheKubeletsTestsAreRotatedInTheirTime", "internal/rotate TestTheDeadlineLeavesTimeForAKubeletThatLooksEveryFiveMinutes",
				"internal/rotate TestTheDeadlineIsTheSameAfterEveryRestart", "internal/agent TestShortAndLongCertificatesAreRotatedOnceForEachOfTheirLives",
			},
		},
		{
			test: "TestCertSatisfiesTemplate", cases: 11,
			about: "another common name, or a missing organization or name, leads to a request; more than is wanted does not",
			ours:  "the same for names, after 30 s and once an hour; for another node name only with a bootstrap credential, since a node may not ask for one; organizations are checked when a certificate is issued",
			shown: []string{
				"internal/agent TestACertificateThatLacksWhatIsWantedIsFollowedByAnotherAndOneThatHasMoreIsKept",
				"internal/agent TestAClientCertificateForTheNameThatTheMachineHadIsKeptAndNotAskedForAnew",
				"internal/csr TestAnIssuedCertificateMustBeWhatWasAskedFor: in no organization", "internal/csr TestARequestCoversAWishThatAsksForNothingMore",
				"internal/serving TestLacksNamesEveryWantedNameThatIsMissingAndMindsNoOthers",
			},
		},
		{
			test:  "TestRotateCertCreateCSRError",
			about: "an error at creation is no rotation",
			ours:  "the certificate in use stays; the same request is sent again, when the policy says: client-go makes a new key each time",
			shown: []string{
				"internal/agent TestARotationThatComesToNothingLeavesTheCertificateInUseAndIsTriedAgain: the request cannot be created: not now",
				"internal/agent TestNoSituationMakesTheClientCertificateAskTwiceOrLoseWhatItHas",
			},
		},
		{
			test:  "TestRotateCertWaitingForResultError",
			about: "an error while waiting is no rotation",
			ours:  "likewise",
			shown: []string{"internal/agent TestARotationThatComesToNothingLeavesTheCertificateInUseAndIsTriedAgain: waiting for the answer breaks off"},
		},
		{
			test: "TestInitializeCertificateSigningRequestClient", cases: 7,
			about: "which certificate is used before and after the first request, for each of: stored, expired, bootstrap, neither; also with an old API",
			ours:  "the same; only certificates.k8s.io/v1, which there is since 1.19",
			shown: []string{"internal/agent TestEachRequestIsSentWithTheCredentialThatTheStateLeaves"},
		},
		{
			test: "TestInitializeOtherRESTClients", cases: 4,
			about: "the same for other clients that share the certificate",
			ours:  "the agent has one client; what else uses the certificate reads the files",
			shown: []string{"internal/agent TestEachRequestIsSentWithTheCredentialThatTheStateLeaves", "test/e2e TestNoRequestFailsAcrossARotationAndWatchesGoOnWithTheNewCertificate"},
		},
		{
			test: "TestServerHealth", cases: 6,
			about: "401 and 404 of an API server show that it is there, so that a kubelet without a certificate may end itself",
			ours:  "each answer, and each kind of silence, has a reason of its own and a next attempt; the agent never ends itself because of one",
			shown: []string{
				"internal/apiserver TestEveryAnswerThatIsNoneHasItsReason", "internal/apiserver TestEveryBrokenConnectionHasItsReason",
				"internal/agent TestEachFailureIsTriedAgainAsThePolicySays",
			},
		},
		{
			test:  "TestRotationLogsDuration",
			about: "the age of the certificate that was replaced is observed by a histogram",
			ours:  "`last_rotation_success_timestamp_seconds` and the expiry as absolute times",
			later: "metrics",
		},
		{
			test:  "TestStop",
			about: "it ends when it is told to",
			ours:  "the same, within 5 s, whatever it waits for, and nothing goes on",
			shown: []string{"internal/agent TestNothingOfAnAgentGoesOnAfterItsEnd", "test/e2e TestSIGTERMEndsTheDaemonWithinFiveSecondsWhateverItWaitsFor"},
		},
		{
			test:  "TestContext",
			about: "it ends with its context",
			ours:  "the same",
			shown: []string{"internal/agent TestNothingOfAnAgentGoesOnAfterItsEnd", "internal/apiserver TestAClientThatIsClosedLeavesNoGoroutine"},
		},
	}},
	{"client-go: util/certificate/certificate_store_test.go", []conforming{
		{
			test:  "TestUpdateSymlinkExistingFileError",
			about: "a regular file where the link belongs is an error, for ever",
			ours:  "replaced by the link: it is read as it is until there is something newer, and must not stop a rotation",
			shown: []string{"internal/certdir TestALinkIsUpdatedAsTheKubeletsStoreDoesAndAlsoWhereThatRefuses: a regular file with a pair", "internal/certdir TestCommitReplacesWhateverStandsAtTheLink"},
		},
		{
			test:  "TestUpdateSymlinkNewFileNotExist",
			about: "the link is not moved to a file that is not there",
			ours:  "the pair is durable before the link is moved, and the previous one is in use until the very rename",
			shown: []string{"internal/certdir TestThePreviousPairStaysInUseUntilTheSwap", "internal/certdir TestAFailedCommitLeavesThePairInUseAndNothingBesideIt"},
		},
		{
			test:  "TestUpdateSymlinkNoSymlink",
			about: "the first link is made",
			ours:  "the same",
			shown: []string{"internal/certdir TestALinkIsUpdatedAsTheKubeletsStoreDoesAndAlsoWhereThatRefuses: no link yet"},
		},
		{
			test:  "TestUpdateSymlinkReplaceExistingSymlink",
			about: "a link is replaced",
			ours:  "in one step: FileStore removes it first",
			shown: []string{"internal/certdir TestALinkIsUpdatedAsTheKubeletsStoreDoesAndAlsoWhereThatRefuses: a link to another pair", "internal/certdir TestThePreviousPairStaysInUseUntilTheSwap"},
		},
		{
			test: "TestLoadFile", cases: 2,
			about: "certificate and key in one file, in either order",
			ours:  "the same; written are leaf, chain, key",
			shown: []string{"internal/certdir TestThePairIsFoundWhereTheKubeletsStoreFindsIt: a link to a pair whose key comes first", "internal/csr TestThePairIsLeafChainAndKeyInOneFile"},
		},
		{
			test:  "TestUpdateNoRotation",
			about: "a new pair beside files under the kubelet's own names is stored",
			ours:  "the same; the files are kept as copies, and their names lead to the new pair",
			shown: []string{"internal/certdir TestCommitServingPutsThePairUnderTheKubeletsNamesAndRemovesThePreviousOnes", "test/e2e TestAPairThatTheKubeletHadIsThePlaceholderAndIsKept"},
		},
		{
			test:  "TestUpdateRotation",
			about: "a new pair is stored",
			ours:  "under a name that FileStore would give it, and which it reads",
			shown: []string{"internal/certdir TestACommittedPairLiesWhereFileStoreWouldPutIt", "test/e2e TestTheKubeletsOwnStoreReadsOurPairsAndWeReadIts"},
		},
		{
			test:  "TestUpdateTwoCerts",
			about: "the chain is stored with the leaf",
			ours:  "the same",
			shown: []string{"internal/csr TestThePairIsLeafChainAndKeyInOneFile", "internal/certdir TestThePairIsFoundWhereTheKubeletsStoreFindsIt: a link to a pair with its issuer"},
		},
		{
			test:  "TestUpdateWithBadCertKeyData",
			about: "what is no certificate is not stored",
			ours:  "it does not get as far as the store: what does not fit the key and the wish is refused",
			shown: []string{"internal/csr TestAnAnswerThatIsNoCertificateIsRefused", "internal/agent TestACertificateThatWasNotAskedForIsRefusedAndNeverStored"},
		},
		{
			test:  "TestCurrentPairFile",
			about: "the pair behind the link is the current one",
			ours:  "the same",
			shown: []string{"internal/certdir TestThePairIsFoundWhereTheKubeletsStoreFindsIt: a link to a pair"},
		},
		{
			test:  "TestCurrentCertKeyFiles",
			about: "without a link, certificate and key in files of their own are",
			ours:  "for the serving pair, where kubelets make such files; a client pair in `kubelet-client.crt` and `.key`, which none has written for years, is not looked for",
			shown: []string{"internal/certdir TestThePairIsFoundWhereTheKubeletsStoreFindsIt: certificate and key in files of their own"},
		},
		{
			test:  "TestCurrentTwoCerts",
			about: "the same with an issuer in the certificate's file",
			ours:  "the same",
			shown: []string{"internal/certdir TestThePairIsFoundWhereTheKubeletsStoreFindsIt: certificate and issuer in one file, and the key in another"},
		},
		{
			test:  "TestCurrentNoFiles",
			about: "without any there is an error of its own",
			ours:  "the same, and what is there and unusable is told from it",
			shown: []string{"internal/certdir TestReadTellsMissingFromUnusable: nothing is there", "internal/certdir TestThePairIsFoundWhereTheKubeletsStoreFindsIt: nothing"},
		},
	}},
	{"client-go: util/certificate/csr/csr_test.go", []conforming{
		{
			test: "TestEnsureCompatible", cases: 4,
			about: "an object under the name is reused unless its signer is another one; without a signer it fits any",
			ours:  "reused only when request, signer, usages and lifetime are equal, and the requester is the node where it must be; an object without a signer is of an API that is not used here",
			shown: []string{"internal/csr TestAnObjectOfAnotherSignerIsNotReused", "internal/csr TestAnObjectIsOursOnlyIfItAsksForExactlyTheSame"},
		},
	}},
	{"kubernetes: pkg/kubelet/certificate/kubelet_test.go", []conforming{
		{
			test: "TestAddressesToHostnamesAndIPs", cases: 6,
			about: "which names follow from the Node's addresses",
			ours:  "the same with `--serving=after-node-registered`; else the node's name and the address that the kubelet would choose, which are there before the Node is",
			shown: []string{"internal/serving TestTheNamesOfTheNodeAreThoseThatTheKubeletWouldAskFor", "test/e2e TestAfterTheNodeIsRegisteredTheAgentAsksForTheNamesThatTheKubeletAsksFor"},
		},
		{
			test: "TestNewCertificateManagerConfigGetTemplate", cases: 8,
			about: "nothing is asked for without an address, unless a gate is open, which is deprecated",
			ours:  "the same as with the gate closed",
			shown: []string{"internal/serving TestTheNamesOfTheNodeAreThoseThatTheKubeletWouldAskFor: names and no address"},
		},
		{
			test: "TestKubeletServerCertificateFromFiles", cases: 2,
			about: "a serving pair in files is read again when they are removed and made, or their folder is renamed",
			ours:  "the agent swaps a link and deletes the previous pair, which a real kubelet notices each time",
			shown: []string{"test/e2e TestARealKubeletServesEveryPairThatTheAgentPutsThereWithoutARestart"},
		},
	}},
	{"kubernetes: pkg/kubelet/certificate/transport_test.go", []conforming{
		{
			test:  "TestRotateShutsDownConnections",
			about: "a kubelet that rotates closes the connections that it made with the previous certificate",
			ours:  "the agent's end with their last request; a kubelet that reads the files closes its own",
			shown: []string{"test/e2e TestNoRequestFailsAcrossARotationAndWatchesGoOnWithTheNewCertificate", "internal/apiserver TestAClosedClientsConnectionsEndWithItsLastRequest"},
		},
	}},
	{"kubernetes: test/integration/client/cert_rotation_test.go", []conforming{
		{
			test:  "TestCertRotation",
			about: "watches end when the file has changed, and the new certificate is used",
			ours:  "shown with the files that the agent writes",
			shown: []string{"test/e2e TestNoRequestFailsAcrossARotationAndWatchesGoOnWithTheNewCertificate"},
		},
		{
			test:  "TestCertRotationContinuousRequests",
			about: "no request fails across a rotation",
			ours:  "likewise, also over minutes of rotations",
			shown: []string{"test/e2e TestNoRequestFailsAcrossARotationAndWatchesGoOnWithTheNewCertificate", "test/e2e TestBothCertificatesRotateAgainAndAgain"},
		},
	}},
	{"client-go: transport/ca_rotation_test.go", []conforming{
		{
			test: "TestCheckCAFileAndRotate", cases: 6,
			about: "a kubelet reads the CA file again that its kubeconfig names; one that is empty, damaged or gone changes nothing",
			ours:  "the kubeconfig names the file, which is replaced whole and only when it differs, and written again when it is damaged",
			shown: []string{
				"internal/kubeconfig TestTheKubeletsKubeconfigHoldsPathsOnly", "internal/certdir TestACAFileIsReadableByAllAndWrittenOnlyWhenItChanges",
				"internal/durable TestReadersSeeTheOldOrTheNewAtEveryMoment", "internal/agent TestWhateverIsDamagedOrGoneIsWrittenAgainAsItWas",
			},
		},
		{
			test:  "TestCARotationConnectionBehavior",
			about: "connections that were made under the previous CA go on, new ones are made under the new CA",
			ours:  "so do the agent's own, and a request under way is answered; a client with the node's kubeconfig never distrusts the API server over the whole change",
			shown: []string{
				"internal/agent TestARequestUnderWayOutlivesAChangeOfTheCA",
				"internal/agent TestANewCAThatIsPinnedOrSignedIsFollowedBeforeAndAfterTheAPIServerHasIt",
				"test/e2e TestTheClustersCAIsReplacedNextToARunningKubelet",
			},
		},
		{
			test: "TestCARotationMetricsEmitted", cases: 5,
			about: "each outcome of reading the CA file is counted",
			ours:  "each reason for which the CA is not followed is counted (`errors_total`, phase `ca`), and said once",
			shown: []string{
				"internal/agent TestACAFileThatCannotBeUsedChangesNothingAndIsSaid", "internal/agent TestACAFileThatTheAPIServerDoesNotProveChangesNothing",
				"internal/agent TestAnOutageOnlyDelaysAndIsCounted",
			},
		},
	}},
	{"client-go: transport/cache_test.go", []conforming{
		{
			test:  "TestEmptyCAFileRotationLifecycle",
			about: "a CA file that is empty at first trusts nobody until it has content",
			ours:  "no connection without a CA; an empty file of the agent's is found, said and made good from the bootstrap file",
			shown: []string{"internal/apiserver TestWithoutACAThereIsNoClient", "test/e2e TestWhateverTheAgentFindsOnTheDiskItDoesAsItsRowSays"},
		},
	}},
}
