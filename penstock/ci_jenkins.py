"""The stages as a declarative Jenkinsfile, for a multibranch pipeline. Secrets are credentials by their ids.

Jenkins keeps a branch's workspace, so what other systems cache is simply still there.
"""

from __future__ import annotations

from penstock import ci
from penstock.ci import Stage

PATH = "Jenkinsfile"
EVENTS = {
    "change": "changeRequest()",
    "main": f"allOf {{ branch '{ci.MAIN}'; not {{ triggeredBy 'TimerTrigger' }} }}",
    "tag": f"tag '{ci.TAG}*'",
    "schedule": f"allOf {{ branch '{ci.MAIN}'; triggeredBy 'TimerTrigger' }}",
}


def jenkinsfile(stages: tuple[Stage, ...]) -> str:
    lines = [
        "def passed = [] // the stages that ended well",
        "",
        "pipeline {",
        "  agent none",
        "  options {",
        "    disableConcurrentBuilds()",
        "  }",
        f"  triggers {{ cron(env.BRANCH_NAME == '{ci.MAIN}' ? '{ci.CRON}' : '') }}",
        "  environment {",
        *(f"    {name} = '{text}'" for name, text in ci.VARIABLES.items()),
        "  }",
        "  stages {",
        *(line for stage in stages for line in _stage(stage)),
        "  }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _stage(stage: Stage) -> list[str]:
    lines = [f"    stage('{stage.name}') {{"]
    lines.append(f"      agent {{ label '{ci.RUNNER}' }}" if stage.serves else "      agent any")
    lines += ["      when {", "        beforeAgent true", *(["        beforeInput true"] if stage.approval else [])]
    if stage.needs and not stage.always:
        needs = ", ".join(f"'{name}'" for name in stage.needs)
        lines.append(f"        expression {{ passed.containsAll([{needs}]) }}")
    if stage.serves:
        lines.append(f"        expression {{ env.{ci.HOME} }}")
    lines += ["        anyOf {", *(f"          {EVENTS[event]}" for event in stage.on), "        }", "      }"]
    if stage.approval:
        lines.append(f"      input {{ message 'Bring this release into {ci.ENVIRONMENT}?' }}")
    if stage.secrets:
        lines += [
            "      environment {",
            *(f"        {name} = credentials('{name}')" for name in stage.secrets),
            "      }",
        ]
    lines += [
        "      steps {",
        "        catchError(buildResult: 'FAILURE', stageResult: 'FAILURE') {",
        *(["          script { for (name in ['check', 'data', 'train']) { try { unstash name } catch (none) { } } }"]
          if stage.posts else []),
        # of the work alone: an option of the stage or the pipeline would count the wait for a person and for an agent
        f"          timeout(time: {ci.MINUTES}, unit: 'MINUTES') {{",
        "            sh '''",
        "              set -e",
        *(f"              {line}" for line in (*ci.INSTALL, *stage.commands)),
        "            '''",
        "          }",
        f"          script {{ passed << '{stage.name}' }}",
        "        }",
        "      }",
    ]  # fmt: skip
    if stage.keeps:
        found = f"{ci.REPORT}/**"
        lines += [
            "      post {",
            "        always {",
            f"          stash name: '{stage.name}', includes: '{found}', allowEmpty: true",
            f"          archiveArtifacts artifacts: '{found}', allowEmptyArchive: true",
            "        }",
            "      }",
        ]
    return [*lines, "    }"]
