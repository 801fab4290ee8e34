package docs

// beyondUpstream are cases in which kubelets were seen to fail, and that Kubernetes has no test for.
var beyondUpstream = []conforming{
	{
		about: "an empty or truncated pair",
		ours:  "healed from memory, or from an older pair, or asked for anew; a kubelet ends, at each start",
		shown: []string{
			"internal/agent TestWhateverIsDamagedOrGoneIsWrittenAgainAsItWas", "test/e2e TestWhateverTheAgentFindsOnTheDiskItDoesAsItsRowSays",
			"internal/certdir TestReadSaysExactlyWhatIsWrongWithThePairInUse: an empty file",
		},
	},
	{
		about: "a certificate with another key",
		ours:  "seen as unusable; a kubelet takes it for valid, and ends later",
		shown: []string{"test/e2e TestWhateverTheAgentFindsOnTheDiskItDoesAsItsRowSays", "internal/certdir TestReadSaysExactlyWhatIsWrongWithThePairInUse: another key"},
	},
	{
		about: "a certificate of another node's name",
		ours:  "used and said; replaced with a bootstrap credential when the difference lasts a minute",
		shown: []string{
			"test/e2e TestWhateverTheAgentFindsOnTheDiskItDoesAsItsRowSays", "internal/agent TestAMismatchOfNamesCountsFromItsBeginningAndEndsWithIt",
			"internal/agent TestAClientCertificateForTheNameThatTheMachineHadIsKeptAndNotAskedForAnew",
		},
	},
	{
		about: "a certificate that begins in the future",
		ours:  "on disk it is used, for the clock may be wrong; fresh from the signer it is kept and judged again by the API server's clock",
		shown: []string{"internal/status TestAPairIsUsableUntilItExpiresEvenIfItIsNotValidYet", "internal/agent TestACertificateOutsideItsTimeWaitsForItAndIsNotAskedForAgain"},
	},
	{
		about: "an empty or truncated key or request of a bootstrap under way",
		ours:  "of no use, and made anew; a kubelet ends, at each start",
		shown: []string{"internal/csr TestATruncatedFileIsUselessUntilTheRequestIsWhole", "test/e2e TestWhateverTheAgentFindsOnTheDiskItDoesAsItsRowSays"},
	},
	{
		about: "a dangling link",
		ours:  "put right, or removed where the kubelet would write through it",
		shown: []string{
			"internal/certdir TestRepairLinksLeavesNothingThatHarmsTheKubeletWhateverItFinds", "internal/agent TestTheKubeletsLinksNeverDangleWhileAPairIsHealed",
			"test/e2e TestWhateverTheAgentFindsOnTheDiskItDoesAsItsRowSays",
		},
	},
	{
		about: "a regular file in place of the current link",
		ours:  "used as it is, and replaced by the next rotation; FileStore fails each rotation and leaves a file",
		shown: []string{"internal/certdir TestALinkIsUpdatedAsTheKubeletsStoreDoesAndAlsoWhereThatRefuses", "internal/certdir TestReadTellsMissingFromUnusable: a regular file in place of the link is read as it is"},
	},
	{
		about: "two rotations within a second",
		ours:  "two files; FileStore truncates the one in use. The agent makes no two requests within 20 s anyway",
		shown: []string{
			"internal/certdir TestTwoRotationsInASecondNeverTouchThePairInUse", "internal/certdir TestPairsOfTheSameSecondGetNamesOfTheirOwn",
			"test/e2e TestTwoRotationsThatAreAskedForAreSpaced",
		},
	},
	{
		about: "a request that is gone before it was watched",
		ours:  "noticed at once, and sent again; client-go waits for an event that never comes",
		shown: []string{"internal/csr TestAskSendsOnceAndWaitsForTheEnd: a resumed request that is gone is not sent again here", "test/e2e TestEveryScenarioEndsAsItsRowSays"},
	},
	{
		about: "denied again and again",
		ours:  "a new key after 15 minutes, doubling to 6 hours: fewer than ten a day; a kubelet makes 112 an hour",
		shown: []string{
			"internal/agent TestATroubleThatLastsForADayMakesFewRequestsAlsoInACrashLoop", "internal/agent TestTheNextKeyComesLaterAfterEachRequestThatCameToNothing",
			"test/e2e TestADeniedRequestIsFollowedByOneWithAnotherKeyInItsTime",
		},
	},
	{
		about: "approved and never issued",
		ours:  "one request, waited for with one watch, also over restarts; a kubelet makes four an hour, which nobody cleaned up for years",
		shown: []string{"test/e2e TestASlowClusterIsWaitedForWithOneRequest: approved and not issued, over a restart", "internal/csr TestAskSendsOnceAndWaitsForTheEnd: bookmarks, and an approval, are not the end"},
	},
	{
		about: "a power cut that loses what was not synced, at each step",
		ours:  "an identity, or the way to one, is always there",
		shown: []string{
			"internal/agent TestAPowerCutAtAnyMomentLosesNothing", "internal/agent TestAPowerCutAfterAKillLosesNothing", "internal/agent TestAPowerCutAfterASyncThatFailedLosesNothing",
		},
	},
	{
		about: "a token that expires while the request waits",
		ours:  "the watch goes on; where it ends too, a new token goes on with the same request",
		shown: []string{
			"test/e2e TestASlowClusterIsWaitedForWithOneRequest: the token expires and is cleaned away before anybody approves",
			"test/e2e TestANewTokenGoesOnWithTheRequestOfOneThatHasEnded",
		},
	},
	{
		about: "a kubelet that reads its client certificate from the file",
		ours:  "uses the next one at its next connection, or after at most 300 s (with `SOAK` set the test waits for that)",
		shown: []string{"test/e2e TestARealKubeletFollowsItsClientCertificateAndWhoMayCallItWithoutARestart", "test/e2e TestNoRequestFailsAcrossARotationAndWatchesGoOnWithTheNewCertificate"},
	},
	{
		about: "a certificate that has expired, and is replaced then",
		ours:  "with a bootstrap credential, put there at any time, without a restart",
		shown: []string{"internal/agent TestEachRequestIsSentWithTheCredentialThatTheStateLeaves: expired, and a credential", "internal/agent TestDecideClient: expired, and no credential"},
	},
	{
		about: "a bundle of CAs for those who call the kubelet, in place of one",
		ours:  "a real kubelet follows the file without a restart",
		shown: []string{"test/e2e TestARealKubeletFollowsItsClientCertificateAndWhoMayCallItWithoutARestart"},
	},
	{
		about: "another CA of the API server",
		ours:  "a real kubelet goes on through the whole documented change, without a restart (with `SOAK` set, for it reads the CA every 300 s)",
		shown: []string{
			"test/e2e TestTheClustersCAIsReplacedNextToARunningKubelet", "internal/agent TestTheCAFileIsFollowedStepByStepAsTheClustersCAIsReplaced",
			"internal/agent TestWhateverHappensOnlyWhatIsVouchedForIsTrusted",
		},
	},
}
