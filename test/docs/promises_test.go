package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// promises are what users rely on, and the tests that fail when it does not hold.
var promises = []struct {
	promise string
	tests   []string
}{
	{"One request for each certificate, whenever the agent is killed: at every file and network system call of the real program, with another token, a restarted API server, a lost answer", []string{
		"TestAKillAtAnySystemCallOfAJoinCostsNothingAndAsksForNothingTwice", "TestAKillAtAnySystemCallBeforeTheApprovalCostsNothingAndAsksForNothingTwice",
		"TestTokensReplacedAndAnAPIServerRestartedBetweenTheKillsMakeNoOtherRequest", "TestAnAnswerLostAndAKillMakeNoOtherRequest",
		"TestACrashAtAnyOperationLosesNothingAndAsksForNothingTwice",
	}},
	{"Nothing is lost when the power goes: an identity, or the way to one, is always there", []string{
		"TestAPowerCutAtAnyMomentLosesNothing", "TestAPowerCutAfterAKillLosesNothing", "TestAPowerCutAfterASyncThatFailedLosesNothing",
	}},
	{"What is said about the files is what the kernel sees", []string{
		"TestTheRecordedFileOperationsAreThoseThatTheKernelSees", "TestEveryOperationThatIsAnnouncedIsMadeThenAndNoOther",
	}},
	{"Whatever is found on the disk is healed, used or said, and never made worse ([the table](on-disk.md))", []string{
		"TestWhateverTheAgentFindsOnTheDiskItDoesAsItsRowSays", "TestTheAgentComesToRestWhateverIsOnTheDisk",
	}},
	{"A disk that is full, failing or read-only costs time and nothing else, and what cannot be read is not taken for missing", []string{
		"TestADiskInTroubleLosesNothingIsSaidAndIsGotOverByItself", "TestAFileThatCannotBeReadForAWhileIsNotTakenForMissing",
		"TestOneFailingOperationIsOnlyADelay", "TestEveryScenarioEndsAsItsRowSays",
	}},
	{"The credential goes when it has been used, and a newer one never ([the table](credential.md))", []string{
		"TestEveryCredentialHasItsFate", "TestANewCredentialSurvivesTheDeletionOfTheOldOne", "TestAfterAnyTwoCrashesTheNewestCredentialIsUsedAndNoneIsForgotten",
	}},
	{"Nothing outside the agent's own files is deleted, renamed or given another mode", []string{
		"TestWhatLiesOutsideIsNeverTouched", "TestWhatLiesOutsideIsNeverTouchedWheneverTheWayThereAppears", "TestASweepTakesOnlyOldFilesOfOursThatNothingNeeds",
	}},
	{"Prometheus sees every documented series move, by plain HTTP, password or client certificate, and nobody else gets one", []string{
		"TestARealPrometheusSeesANodeJoinRotateAndGetIntoTrouble", "TestARealPrometheusGetsInByPasswordOrCertificateAndNobodyElseDoes",
		"TestARealNodeExporterShowsTheAgentsTextFileBesideItsOwnSeries", "TestNobodyWithoutThePasswordGetsAByteOfMetrics", "TestNobodyWithoutACertificateOfTheCAGetsAByteOfMetrics",
	}},
	{"Whatever keeps metrics from being served, or floods them, keeps no certificate back", []string{
		"TestWhatKeepsTheMetricsFromBeingServedKeepsNoCertificateBack", "TestHostileClients", "TestAThousandWrongPasswordsCostATenthOfACPUAndKeepNobodyOut",
	}},
	{"What goes wrong is seen in the metrics, by the alerts, in `status` and by `doctor` ([each scenario](troubleshooting.md)), and the commands that are printed mend it", []string{
		"TestEveryScenarioEndsAsItsRowSays", "TestTheAlertsThatWeShipFireForRealAgentsInTroubleAndEndWithIt", "TestDoctorTellsWhatIsWrongWithTheCluster",
		"TestDoctorFindsWhatIsWrongOnABootedNodeAndItsCommandsMendIt", "TestDoctorWorksAndChangesNothingWhateverIsOnTheDisk",
	}},
	{"No secret leaves the process: no log, error, argument, child's environment or core holds one", []string{
		"TestNoByteOfASecretLeavesTheProcess", "TestTheProcessIsClosedBeforeItOpensAnything", "TestADaemonThatDiesInUseOfTheCredentialTellsNothing",
		"TestNoCoreGoesThroughAPipe", "TestAnExecPluginIsGivenNothingButTheEnvironment", "TestNoErrorRepeatsTheToken",
	}},
	{"A node that finds its cluster by address, token and hash sends nothing secret before the cluster has proved itself, whoever answers ([discovery](discovery.md))", []string{
		"TestEachHostileServerIsRefusedInItsOwnWordsAndSentNothingSecret", "TestDiscoveryAtAControlPlane",
	}},
	{"A machine does not take the name of a living node, and goes on by itself when that has gone ([safe joining](safe-joining.md))", []string{
		"TestALiveNodeOfAnotherMachineIsNeverTakenOverAndTheWaitEndsByItself", "TestALiveNodeIsNotTakenOverByAnotherMachineOfItsName",
	}},
	{"No CA is trusted that nobody vouches for, and none is lost before its time ([the CA](ca.md))", []string{
		"TestWhateverHappensOnlyWhatIsVouchedForIsTrusted", "TestWhoeverAnswersInTheAPIServersPlaceHasNothingAdded", "TestTheClustersCAIsReplacedNextToARunningKubelet",
		"TestAPowerCutWhileTheCAIsFollowedLeavesTheOldOrTheNew",
	}},
	{"Nothing that is said over the wire becomes current unless it is what was asked for, and no server learns a secret that is not for it", []string{
		"TestNoLieIsTakenForTheTruth", "TestALieAboutTheTimeIsNotBelievedForEver", "TestWhenTheLyingEndsTheSameAgentJoins", "TestMoreThanWhatWasAskedForDoesNotStopANode",
	}},
	{"A rotation or a recovery that is killed, or loses its power, at any moment leaves the old identity or the new one, and takes one request", []string{
		"TestAPowerCutAtAnyMomentOfARotationOrARecoveryLosesNothing", "TestAPowerCutAfterAKillOrAFailedSyncOfARotationLosesNothing",
		"TestACrashOrAFailureAtAnyOperationOfARotationLosesNothingAndAsksForNothingTwice", "TestAKillAtAnySystemCallOfARotationCostsNothingAndAsksForNothingTwice",
	}},
	{"What is damaged or gone while the agent runs comes back as it was, and what a person takes away does not", []string{
		"TestWhateverIsDamagedOrGoneIsWrittenAgainAsItWas", "TestWhatIsSpoiledWhileTheAgentRunsIsBackInSeconds", "TestACertificateOfWhichAByteHasChangedIsHealedAndNotAdopted",
		"TestWhatAPersonTakesAwayStaysAwayUntilThereIsANewCredential", "TestAnOperatorsResetIsFinalUntilThereIsANewCredential", "TestChaosCostsNoIdentityAndNoRequest",
	}},
	{"A new credential is used within a second, however it is put there; another cluster, name or identity needs no restart of the agent", []string{
		"TestACredentialThatComesInWhateverWayIsUsedWithinASecond", "TestANodeGoesToAnotherClusterWithABootAndNotBefore", "TestAnotherNodeNameNeedsACredentialAndAMinute",
		"TestAnIdentityThatItsOwnClusterRefusesIsFollowedByAnother",
	}},
	{"No clock moves a planned rotation, or lets one be missed", []string{
		"TestTheWallClockMayPassADeadlineInWhateverWay", "TestNothingThatKeepsAFilesTimeMovesAPlannedRotation", "TestACopyWithoutItsTimesCostsOneEarlyRotationAtMost",
	}},
	{"A fleet spreads its rotations, comes back from an outage spread, and makes few requests in a bad day ([the numbers](fleet.md))", []string{
		"TestATroubleThatLastsForADayMakesFewRequestsAlsoInACrashLoop", "TestASimulatedNodeDoesWhatTheRealAgentDoes",
	}},
	{"Both certificates are rotated again and again, and whoever uses the identity does not notice", []string{
		"TestBothCertificatesRotateAgainAndAgain", "TestARealKubeletServesEveryPairThatTheAgentPutsThereWithoutARestart",
		"TestARealKubeletGoesFromItsOwnPairToTheAgentsAndBackWithoutARestart", "TestTheFirstThatCanBeThisNodesKubeletTellsWhetherTheCertificateIsTaken",
		"TestAfterTheNodeIsRegisteredTheAgentAsksForTheNamesThatTheKubeletAsksFor",
	}},
	{"A node boots, whatever it comes up with: the kubelet is let start at once, or when there is nothing to try; whenever the credential comes, it joins; no boot waits in a circle with cloud-init ([the unit](systemd.md))", []string{
		"TestANodeBootsWithNothingButABootstrapKubeconfig", "TestANodeRebootsWhileTheAPIServerIsDown", "TestANodeWithoutACredentialBootsAndJoinsWhenItGetsOne",
		"TestABootWithoutACredentialIsOverAndTheNodeJoinsWhenRuncmdBringsOne", "TestABootHasNoOrderingCycleAndNoLineThatSystemdDoesNotKnow",
	}},
	{"Whatever becomes of the agent (upgraded, stopped, killed, hanging), and at each rotation, the kubelet keeps its process", []string{
		"TestTheKubeletKeepsItsPIDWhateverBecomesOfTheAgent", "TestAHangBeforeREADYIsNoticed", "TestBothCertificatesRotateUnderARunningKubelet", "TestAPackageFromItsInstallationToItsPurge",
	}},
	{"The agent can do nothing on its machine but its work ([the sandbox](systemd.md))", []string{
		"TestTheUnitsSandboxRefusesAllButWhatTheAgentNeeds", "TestTheSandboxFollowsWhatHappensOutside", "TestTheUnitIsExposedByAtMost1Point8",
	}},
	{"A kubelet that rotates too costs requests and no certificate, and one that bootstrapped itself is taken over without another request, and given back ([how](taking-over.md))", []string{
		"TestTwoRotatorsAreSaidAndDoNoHarm", "TestANodeThatKubeadmMadeIsTakenOverAndGivenBack", "TestAKubeletThatBootstrappedItselfIsTakenOverAndGivenBack",
		"TestAResetThatKeepsTheIdentityLeavesAllThatTheKubeletNeedsToGoOnByItself",
	}},
	{"A reset that is cut off anywhere leaves no dangling link, and the next one finishes it; nothing of others is touched ([what goes](reset.md))", []string{
		"TestAResetThatIsCutOffAnywhereIsFinishedByTheNextOneAndAnAgentLivesOn", "TestWhateverResetFindsOnTheDiskNoSecretIsLeftUnsaidAndNothingElseIsTouched",
	}},
	{"The guides do what they say: each command, file and flag of [the one to joining](joining.md), and what [the page on security](security.md) says of tokens, nodes, files and thieves, against a real control plane", []string{
		"TestTheGuideToJoiningDoesWhatItSays", "TestThePageOnJoinConfigDoesWhatItSays", "TestATokenAndANodeMayDoWhatThePageOnSecuritySays", "TestWhatIsOnTheDiskIsWhatThePageOnSecuritySays",
		"TestAStolenNodeKeyOutlivesItsNodeAndIsStoppedByThePolicy", "TestTheCommandsForAStolenTokenEndItAndListWhatItAskedFor",
	}},
	{"No input breaks a reader", []string{
		"FuzzBootstrapKubeconfig", "FuzzLoadKubelet", "FuzzConfigurationFile", "FuzzParsePair", "FuzzDecodePending", "FuzzDamagedPending",
		"FuzzIssuedCertificate", "FuzzSweep", "FuzzDateHeader",
	}},
}

func TestThePageOnPromisesNamesTestsThatThereAre(t *testing.T) {
	there := everyTest(t)
	var table strings.Builder
	table.WriteString("| promise | shown by |\n|---|---|\n")
	for _, p := range promises {
		var names []string
		for _, name := range p.tests {
			if there[name] == "" {
				t.Errorf("%s: there is no %s", p.promise, name)
			}
			names = append(names, fmt.Sprintf("[`%s`](../%s)", name, there[name]))
		}
		fmt.Fprintf(&table, "| %s | %s |\n", p.promise, strings.Join(names, "<br>"))
	}
	compare(t, "../../docs/promises.md", "promises", table.String())
}

var testName = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)

// everyTest returns the project's tests and fuzz targets, with the file of each.
func everyTest(t *testing.T) map[string]string {
	t.Helper()
	there := map[string]string{}
	for _, top := range []string{"cmd", "internal", "test"} {
		err := filepath.WalkDir(filepath.Join("../..", top), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			content, err := os.ReadFile(path)
			for _, match := range testName.FindAllStringSubmatch(string(content), -1) {
				there[match[1]] = strings.TrimPrefix(path, "../../")
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return there
}
