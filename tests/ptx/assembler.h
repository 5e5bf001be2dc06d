// A kernel's text -> what is run. Functions are put in where they are called.
#pragma once

#include "instructions.h"
#include "joins.h"
#include "text.h"

namespace ptx {

class Assembler {
  public:
    Assembler(const std::map<std::string, Function>& functions, const std::string& name)
        : functions_(functions), kernel_(std::make_unique<Kernel>())
    {
        const Function& f = functions.at(name);
        kernel_->name = name;
        kernel_->most_threads = f.most_threads;
        scopes_.emplace_back();
        for (const Declared& d : f.parameters) {
            const int at = allocated(kernel_->parameter_bytes, d);
            kernel_->parameters.push_back({at, d.bytes});
            scopes_.back()[d.name] = {Symbol::ADDRESS, at, 8, Space::PARAMETER};
        }
        body(f, "");
    }

    std::unique_ptr<Kernel> kernel()
    {
        for (Instruction& i : kernel_->code) {
            if (i.flow != Instruction::BRANCH) continue;
            if (!labels_.count(i.label)) fail(i, "there is no such label");
            i.target = labels_[i.label];
        }
        find_joins(kernel_->code);
        return std::move(kernel_);
    }

  private:
    // A register, a predicate, or where a variable lies.
    struct Symbol {
        enum { REGISTER, PREDICATE, ADDRESS } kind;
        int at, size;
        Space space;
    };
    typedef std::map<std::string, Symbol> Scope;

    const std::map<std::string, Function>& functions_;
    std::unique_ptr<Kernel> kernel_;
    std::vector<Scope> scopes_;    // the last is the innermost
    std::size_t first_scope_ = 0;  // of the function at hand
    std::map<std::string, int> labels_, special_rows_;
    std::string function_;  // what its labels begin with; nothing in the kernel itself
    int calls_ = 0, depth_ = 0;

    static int allocated(int& bytes, const Declared& d)
    {
        bytes = (bytes + d.align - 1) / d.align * d.align + d.bytes;
        return bytes - d.bytes;
    }

    const Symbol* symbol(const std::string& name) const
    {
        for (std::size_t k = scopes_.size(); k-- > first_scope_;) {
            const auto at = scopes_[k].find(name);
            if (at != scopes_[k].end()) return &at->second;
        }
        return nullptr;
    }

    void body(const Function& f, const std::string& function)
    {
        const std::string outer = function_;
        const std::size_t outer_first = first_scope_;
        function_ = function;
        first_scope_ = scopes_.size() - 1;
        for (const Statement& s : f.body) statement(s);
        function_ = outer;
        first_scope_ = outer_first;
    }

    void statement(const Statement& s)
    {
        const std::string word = s.text.substr(0, s.text.find_first_of(" \t\n"));
        if (s.text == "{")
            scopes_.emplace_back();
        else if (s.text == "}")
            scopes_.pop_back();
        else if (s.text.back() == ':')
            labels_[function_ + s.text.substr(0, s.text.size() - 1)] = here();
        else if (word == ".reg")
            registers(s);
        else if (word == ".shared")
            variable(s, kernel_->shared_bytes, Space::SHARED);
        else if (word == ".local" || word == ".param")
            variable(s, kernel_->local_bytes, Space::LOCAL);
        else if (word.rfind("call", 0) == 0)
            call(s);
        else if (word == ".pragma")
            return;  // advice on loops
        else if (word[0] == '.')
            s.refuse("not understood");
        else
            instruction(s);
    }

    int here() const { return static_cast<int>(kernel_->code.size()); }

    void variable(const Statement& s, int& bytes, Space space)
    {
        const Declared d = declared(s, s.text);
        scopes_.back()[d.name] = {Symbol::ADDRESS, allocated(bytes, d), 8, space};
    }

    void registers(const Statement& s)
    {
        const auto type_at = s.text.find('.', 1), names_at = s.text.find_first_of(" \t", type_at);
        const Type type = type_named(s.text.substr(type_at + 1, names_at - type_at - 1));
        if (!type.kind) s.refuse("an unknown type");
        for (std::string name : parted(s.text.substr(names_at), ',')) {
            const auto bracket = name.find('<');
            const int count = bracket == std::string::npos ? 1 : std::stoi(name.substr(bracket + 1));
            for (int n = 0; n < count; ++n) {
                const std::string each =
                    count == 1 && bracket == std::string::npos ? name : name.substr(0, bracket) + std::to_string(n);
                if (type.kind == 'p')
                    scopes_.back()[each] = {Symbol::PREDICATE, kernel_->predicates++, 0, {}};
                else
                    scopes_.back()[each] = {Symbol::REGISTER, kernel_->rows++, type.size, {}};
            }
        }
    }

    // "call.uni (result), name, (parameters)": its variables are the caller's, and its end is a label.
    void call(const Statement& s)
    {
        const auto words = parted(s.text.substr(s.text.find_first_of(" \t\n")), ',');
        std::vector<std::vector<std::string>> given;
        std::string name;
        for (const std::string& word : words) {
            if (word[0] == '(')
                given.push_back(parted(inside_brackets(word), ','));
            else
                name = word;
        }
        const auto f = functions_.find(name);
        if (f == functions_.end()) s.refuse("there is no such function here");
        if (++depth_ > 20) s.refuse("functions that call themselves");
        Scope own;
        std::size_t k = 0;
        for (const std::vector<Declared>* list : {&f->second.results, &f->second.parameters}) {
            if (list->empty()) continue;
            const std::vector<std::string> names = k < given.size() ? given[k++] : std::vector<std::string>();
            if (names.size() != list->size()) s.refuse("a call of another signature");
            for (std::size_t n = 0; n < names.size(); ++n) {
                const Symbol* of_caller = symbol(names[n]);
                if (!of_caller || of_caller->space != Space::LOCAL) s.refuse("parameters that are no variables");
                own[(*list)[n].name] = *of_caller;
            }
        }
        scopes_.push_back(own);
        const std::string label = name + " " + std::to_string(calls_++) + " ";
        body(f->second, label);
        scopes_.pop_back();
        labels_[label] = here();
        --depth_;
    }

    Operand constant(u64 bits)
    {
        const auto [at, is_new] = kernel_->constants.insert({bits, kernel_->rows});
        kernel_->rows += is_new;
        return {at->second, 8};
    }

    Operand special(const Statement& s, const std::string& name)
    {
        static const char* const known[] = {"%tid.", "%ntid.", "%ctaid.", "%nctaid."};
        bool is_known = name == "%laneid" || name == "%warpid";
        for (const char* each : known) is_known |= name.rfind(each, 0) == 0 && std::strchr("xyz", name.back());
        if (!is_known) s.refuse("an unknown register " + name);
        if (!special_rows_.count(name)) {
            kernel_->specials.push_back({name, kernel_->rows});
            special_rows_[name] = kernel_->rows++;
        }
        return {special_rows_[name], 4};
    }

    Operand operand(const Statement& s, const Instruction& i, const std::string& word)
    {
        if (const Symbol* known = symbol(word)) {
            return known->kind == Symbol::ADDRESS ? constant(known->at) : Operand{known->at, known->size};
        }
        if (word == "_") return {kernel_->rows++, 8};  // for what nobody wants
        if (word[0] == '%') return special(s, word);
        const bool is_float = word[0] == '0' && word.size() > 2 && std::strchr("dDfF", word[1]);
        if (is_float) return constant(std::stoull(word.substr(2), nullptr, 16));
        std::size_t used = 0;
        u64 bits = 0;
        try {
            bits = word[0] == '-' ? static_cast<u64>(std::stoll(word, &used, 0)) : std::stoull(word, &used, 0);
        } catch (const std::exception&) {
            s.refuse("an unknown operand " + word);
        }
        used += used < word.size() && word[used] == 'U';
        if (used != word.size() || i.type.kind == 'f') s.refuse("an unknown operand " + word);
        return constant(bits);
    }

    // As a predicate; false if it is none.
    bool predicate(const std::string& word, Predicate& p) const
    {
        const Symbol* known = symbol(word[0] == '!' ? word.substr(1) : word);
        if (!known || known->kind != Symbol::PREDICATE) return false;
        p = {known->at, word[0] == '!'};
        return true;
    }

    void address(const Statement& s, Instruction& i, const std::string& word)
    {
        std::string base = inside_brackets(word);
        const auto plus = base.find('+');
        if (plus != std::string::npos) i.offset = std::stoll(base.substr(plus + 1));
        base = trimmed(base.substr(0, plus));
        const Symbol* known = symbol(base);
        const bool is_variable = known && known->kind == Symbol::ADDRESS;
        if (i.space == Space::PARAMETER && is_variable) i.space = known->space;
        if (i.space == Space::PARAMETER && !function_.empty()) s.refuse("a parameter of a function by its address");
        if (is_variable && known->space != i.space) s.refuse("a variable of another space");
        i.address = operand(s, i, base);
    }

    // Where the instruction writes to (`is_first`), or what it reads.
    void add_operand(const Statement& s, Instruction& i, const std::string& word, bool is_first)
    {
        if (word[0] == '[') return address(s, i, word);
        if (word[0] == '{') {
            for (const std::string& each : parted(inside_brackets(word), ',')) add_operand(s, i, each, is_first);
            return;
        }
        if (is_first && word.find('|') != std::string::npos) {
            for (const std::string& each : parted(word, '|')) add_operand(s, i, each, true);
            return;
        }
        Predicate p;
        if (predicate(word, p))
            (is_first ? i.to_predicates : i.of_predicates).push_back(p);
        else
            (is_first ? i.to : i.of).push_back(operand(s, i, word));
    }

    void instruction(const Statement& s)
    {
        Instruction i;
        i.line = s.line;
        i.text = s.text;
        std::string rest = s.text;
        if (rest[0] == '@') {
            const auto space = rest.find_first_of(" \t");
            if (!predicate(rest.substr(1, space - 1), i.guard)) s.refuse("no predicate");
            rest = trimmed(rest.substr(space));
        }
        const auto space = rest.find_first_of(" \t");
        i.parts = parted(rest.substr(0, space), '.');
        const auto words = parted(space == std::string::npos ? "" : rest.substr(space), ',');
        if (!flow(s, i, words)) plain(s, i, words);
        kernel_->code.push_back(std::move(i));
    }

    bool flow(const Statement& s, Instruction& i, const std::vector<std::string>& words)
    {
        const std::string& name = i.parts[0];
        if (name == "bra" && words.size() == 1) {
            i.flow = Instruction::BRANCH;
            i.label = function_ + words[0];
        } else if ((name == "ret" || name == "exit") && words.empty()) {
            const bool leaves_function = name == "ret" && !function_.empty();
            i.flow = leaves_function ? Instruction::BRANCH : Instruction::EXIT;
            i.label = function_;
        } else if ((name == "bar" || name == "barrier") && i.has("sync") && !i.has("warp")) {
            if (words != std::vector<std::string>{"0"}) s.refuse("a barrier of some threads");
            i.flow = Instruction::BARRIER;
        } else {
            return false;
        }
        return true;
    }

    void plain(const Statement& s, Instruction& i, const std::vector<std::string>& words)
    {
        for (const std::string& part : i.parts) {
            const Type type = type_named(part);
            if (type.kind) (i.type.kind ? i.from : i.type) = type;
        }
        i.ftz = i.has("ftz");
        i.read_only = i.has("nc");
        if (i.has("global")) i.space = Space::GLOBAL;
        if (i.has("shared")) i.space = Space::SHARED;
        if (i.has("local")) i.space = Space::LOCAL;
        if (i.has("param")) i.space = Space::PARAMETER;
        const bool writes_memory = i.parts[0] == "st" || i.parts[0] == "red" || i.parts[0] == "bar";
        for (std::size_t k = 0; k < words.size(); ++k) add_operand(s, i, words[k], k == 0 && !writes_memory);
        if (!choose(i)) s.refuse("an unknown instruction");
    }
};

}  // namespace ptx
