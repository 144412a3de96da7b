// Runs a declarative Jenkinsfile against nothing but a recorder, and prints the tree of what it says as JSON: every
// directive is a method call, and its block is run for its own calls. Once for each branch that is named.
import groovy.json.JsonOutput

class Recorder {
    List tree = []
    Map env = [:]
    List passed = []

    def methodMissing(String name, Object given) {
        def arguments = (given as List).toList()
        def block = arguments && arguments[-1] instanceof Closure ? arguments.removeAt(arguments.size() - 1) : null
        if (name == 'credentials') return "credentials ${arguments[0]}"
        def node = [name: name, arguments: arguments.collect { it instanceof Map ? it : it?.toString() }, body: []]
        tree << node
        if (block != null) {
            def inner = new Recorder(env: env, passed: passed)
            block.delegate = inner
            block.resolveStrategy = Closure.DELEGATE_FIRST
            if (name in ['expression', 'script']) return [:] // Groovy of its own, run while a pipeline runs
            block()
            node.body = inner.tree
        }
        return [:]
    }

    def propertyMissing(String name) { name == 'any' || name == 'none' ? name : null }

    void propertyMissing(String name, Object value) { tree << [name: name, arguments: [value?.toString()], body: []] }
}

def text = new File(args[0]).text
def trees = [:]
for (branch in args.drop(1)) {
    def recorder = new Recorder(env: [BRANCH_NAME: branch])
    def script = new GroovyShell().parse(text.replaceFirst(/(?m)^pipeline \{/, 'root.pipeline {'))
    script.binding.setVariable('root', recorder)
    script.run()
    trees[branch] = recorder.tree
}
println JsonOutput.toJson(trees)
