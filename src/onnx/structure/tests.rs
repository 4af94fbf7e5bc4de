//! Each pattern alone, and small networks, as expressions.

use super::flow::Flow;
use super::pattern::Bindings;
use super::written::look;
use super::{BOOK, Structure};

/// The name of the pattern that the whole of an expression matches, and what its variables stand for.
fn matched(expression: &str) -> Option<(&'static str, Vec<String>)> {
    look(expression, |graph, last| {
        let flow = Flow::new(graph);
        let names = BOOK.names();
        let (name, bound): (_, Bindings) = BOOK.first(&flow, graph.value(last).unwrap(), &names)?;
        Some((name, bound.values().map(|value| (*value).to_owned()).collect()))
    })
}

/// Every way in which exporters write an activation or attention; the first that matches counts.
const WRITTEN: [(&str, &str); 49] = [
    ("erf-plus-1", "(Add (Erf (Div x 1.4142135)) 1)"),
    ("erf-plus-1", "(Add 1 (Erf (Mul 0.70710677 x)))"),
    ("cube", "(Pow x 3)"),
    ("cube", "(Mul (Mul x x) x)"),
    ("bent", "(Add x (Mul (Pow x 3) 0.044715))"),
    ("bent", "(Add (Mul 0.044715 (Mul x (Mul x x))) x)"),
    ("bent", "(Mul x (Add 1 (Mul 0.044715 (Mul x x))))"),
    ("bent", "(Mul (Add (Mul (Pow x 2) 0.044715) 1) x)"),
    ("bent", "(Add x (Mul (Mul 0.044715 x) (Mul x x)))"),
    ("bent", "(Add x (Mul (Mul 0.044715 (Mul x x)) x))"),
    ("scaled-bent", "(Mul 0.7978846 (Add x (Mul (Pow x 3) 0.044715)))"),
    ("scaled-bent", "(Mul (Mul 0.7978846 x) (Add 1 (Mul 0.044715 (Mul x x))))"),
    ("scaled-bent", "(Mul x (Add (Mul 0.0356774 (Mul x x)) 0.7978846))"),
    ("tanh-plus-1", "(Add 1 (Tanh (Mul 0.7978846 (Add x (Mul (Pow x 3) 0.044715)))))"),
    ("gelu", "(Gelu x)"),
    ("gelu", "(com.microsoft.BiasGelu x B)"),
    ("gelu", "(com.microsoft.FastGelu x B)"),
    ("gelu-erf", "(Mul (Mul x (Add (Erf (Div x 1.4142135)) 1)) 0.5)"),
    ("gelu-erf", "(Mul (Mul x 0.5) (Add (Erf (Mul x 0.70710677)) 1))"),
    ("gelu-erf", "(Mul x (Mul 0.5 (Add (Erf (Div x 1.4142135)) 1)))"),
    ("gelu-erf", "(Mul (Cast (Mul x (Cast (Add (Erf (Cast (Div x 1.4142135))) 1)))) 0.5)"),
    ("gelu-tanh", "(Mul (Mul 0.5 x) (Add 1 (Tanh (Mul 0.7978846 (Add x (Mul 0.044715 (Pow x 3)))))))"),
    ("gelu-tanh", "(Mul 0.5 (Mul x (Add 1 (Tanh (Mul 0.7978846 (Add x (Mul 0.044715 (Pow x 3))))))))"),
    ("gelu-tanh", "(Mul x (Mul 0.5 (Add (Tanh (Mul 0.7978846 (Add x (Mul 0.044715 (Pow x 3))))) 1)))"),
    ("quick-gelu", "(com.microsoft.QuickGelu x)"),
    ("quick-gelu", "(Mul x (Sigmoid (Mul 1.702 x)))"),
    ("silu", "(Swish x)"),
    ("silu", "(Mul (Sigmoid x) x)"),
    ("relu-squared", "(Pow (Relu x) 2)"),
    ("relu-squared", "(Mul (Relu x) (Relu x))"),
    ("relu", "(Relu x)"),
    ("hard-swish", "(HardSwish x)"),
    ("mish", "(Mish x)"),
    ("geglu", "(Mul (Gelu x) y)"),
    ("geglu", "(Mul y (Mul (Mul x (Add (Erf (Div x 1.4142135)) 1)) 0.5))"),
    ("geglu", "(Mul (Mul x (Mul 0.5 (Add (Tanh (Mul 0.7978846 (Add x (Mul 0.044715 (Pow x 3))))) 1))) y)"),
    ("geglu", "(Mul (Mul x (Sigmoid (Mul 1.702 x))) y)"),
    ("swiglu", "(Mul (Mul x (Sigmoid x)) y)"),
    ("reglu", "(Mul (Relu x) y)"),
    ("glu", "(Mul y (Sigmoid x))"),
    ("attention", "(MatMul (Softmax (MatMul x y)) z)"),
    ("attention", "(MatMul (Cast (Softmax (Add (Mul (MatMul x (Transpose y)) 0.125) mask))) (Transpose z))"),
    ("attention", "(MatMul (Where (IsNaN (Softmax (MatMul x y))) 0 (Softmax (MatMul x y))) z)"),
    ("attention", "(MatMul (Transpose z) (Transpose (Softmax (MatMul x y))))"),
    ("attention", "(Einsum (Softmax (Einsum x y)) z)"),
    ("attention", "(Attention x y z)"),
    ("attention", "(com.microsoft.MultiHeadAttention x y z B mask)"),
    ("attention-packed", "(com.microsoft.MultiHeadAttention x)"),
    ("attention-own", "(com.microsoft.Attention x W B mask)"),
];

#[test]
fn every_pattern_is_matched_by_what_it_describes() {
    for (name, expression) in WRITTEN {
        assert_eq!(matched(expression).map(|(name, _)| name), Some(name), "{expression}");
    }
    // And no line of the book is there for nothing.
    for line in 0..BOOK.len() {
        let used = WRITTEN.iter().any(|(_, expression)| {
            look(expression, |graph, last| BOOK.line_matches(line, &Flow::new(graph), graph.value(last).unwrap()))
        });
        assert!(used, "nothing matches line {line}: {:?}", BOOK.line(line));
    }
}

#[test]
fn variables_stand_for_the_activations() {
    // In the order of the variables' names: k, q, scores, v; other, x.
    for (expression, want) in [
        ("(MatMul (Softmax (MatMul a b)) c)", &["b", "a", "v0", "c"][..]),
        ("(Mul (Relu a) b)", &["b", "a"]),
        ("(Gelu (Cast a))", &["a"]),
    ] {
        assert_eq!(matched(expression).unwrap().1, want, "{expression}");
    }
}

#[test]
fn what_only_looks_alike_is_not_matched() {
    for expression in [
        // Not the same x, other numbers, a constant for x.
        "(Add (Erf (Div x 2)) 1)",
        "(Mul (Mul x (Add (Erf (Div z 1.4142135)) 1)) 0.5)",
        "(Mul x (Add (Erf (Div x 1.4142135)) 1))",
        "(Pow x 2)",
        "(Relu 3)",
        "(Tanh x)",
        // A linear layer between, no softmax, constant keys.
        "(MatMul (MatMul (Softmax (MatMul x y)) W) Z)",
        "(MatMul (MatMul x y) z)",
        "(MatMul (Softmax (MatMul x W)) y)",
        "(Attention x W W)",
    ] {
        assert_eq!(matched(expression), None, "{expression}");
    }
}

/// Block and role of the layer of each weight, which is a capital letter.
fn roles(expression: &str) -> Vec<String> {
    look(expression, |graph, last| {
        let structure = Structure::read(graph, &[graph.value(last).unwrap()], &[]);
        let mut roles: Vec<String> = graph
            .nodes()
            .iter()
            .enumerate()
            .filter_map(|(index, node)| {
                let weight = node.input.iter().find(|name| name.starts_with(char::is_uppercase))?;
                let part = structure.part(index)?;
                let block = part.block.map_or(String::new(), |block| format!("{block}."));
                Some(format!("{weight} {block}{}", part.role))
            })
            .collect();
        roles.sort();
        roles
    })
}

#[test]
fn blocks_side_by_side_and_without_attention() {
    let attention = |x: &str, n: usize| {
        format!("(MatMul (MatMul (Softmax (MatMul (MatMul {x} Q{n}) (MatMul {x} K{n}))) (MatMul {x} V{n})) O{n})")
    };
    let mlp = |x: &str, n: usize| format!("(MatMul (Gelu (MatMul {x} F{n})) G{n})");
    let of = |expression: &str| -> Vec<String> {
        let all = roles(expression).into_iter();
        all.filter(|role| role.starts_with(['F', 'O'])).collect()
    };
    // Attention and MLP of the same input, added one way and the other.
    let after = |x: &str, n: usize| format!("(Add (Add {x} {}) {})", attention(x, n), mlp(x, n));
    let before = |x: &str, n: usize| format!("(Add (Add {x} {}) {})", mlp(x, n), attention(x, n));
    let both = ["F0 0.fc1", "F1 1.fc1", "F2 2.fc1", "O0 0.out_proj", "O1 1.out_proj", "O2 2.out_proj"];
    assert_eq!(of(&after(&after(&after("x", 0), 1), 2)), both);
    assert_eq!(of(&before(&before(&before("x", 0), 1), 2)), both);
    // Blocks of an MLP alone first, then blocks with attention.
    let alone = |x: &str, n: usize| format!("(Add {x} {})", mlp(x, n));
    let hybrid = of(&block(&block(&alone(&alone("x", 0), 1), 2), 3));
    assert_eq!(hybrid, ["F0 0.fc1", "F1 1.fc1", "F2 2.fc1", "F3 3.fc1", "O2 2.out_proj", "O3 3.out_proj"]);
    // Two of each side by side have numbers of their own.
    let two = format!("(Add (Add x {}) {})", attention("x", 0), attention("x", 1));
    let two = of(&format!("(Add (Add {two} {}) {})", mlp(&two, 0), mlp(&two, 1)));
    assert_eq!(two, ["F0 1.fc1", "F1 0.fc1", "O0 0.out_proj", "O1 1.out_proj"]);
    // The residual of a projection head is none of a block's stream, and a gate is added to nothing.
    let p = format!("(MatMul (ReduceMean {}) P)", block("x", 0));
    let head = of(&format!("(Add {p} {})", mlp(&p, 1)));
    assert_eq!(head, ["F0 0.fc1", "F1 head.fc1", "O0 0.out_proj"]);
    let gate = |x: &str| format!("(Mul {x} (Sigmoid {}))", mlp(&format!("(ReduceMean {x})"), 9));
    assert_eq!(of(&block(&gate(&block("x", 0)), 1))[..2], ["F0 0.fc1", "F1 1.fc1"]);
    // Queries that are the mean of the tokens: a pooling head.
    let tokens = block("x", 0);
    let pooled = format!(
        "(MatMul (MatMul (Softmax (MatMul (MatMul (ReduceMean {tokens}) Q1) (MatMul {tokens} K1))) (MatMul {tokens} V1)) O1)"
    );
    let pooled = roles(&format!("(Relu {pooled})"));
    assert!(pooled.contains(&"K1 head.k_proj".to_owned()) && pooled.contains(&"G0 0.fc2".to_owned()), "{pooled:?}");
}

/// A block of attention and one of MLP on `x`, each with a residual.
fn block(x: &str, number: usize) -> String {
    let w = |letter: &str| format!("{letter}{number}");
    let (q, k, v) =
        (format!("(MatMul {x} {})", w("Q")), format!("(MatMul {x} {})", w("K")), format!("(MatMul {x} {})", w("V")));
    let attention = format!("(MatMul (Reshape (MatMul (Softmax (MatMul {q} (Transpose {k}))) {v})) {})", w("O"));
    let residual = format!("(Add {x} {attention})");
    format!("(Add {residual} (MatMul (Gelu (MatMul {residual} {})) {}))", w("F"), w("G"))
}

#[test]
fn blocks_are_counted() {
    let two = block(&block("x", 0), 1);
    let of = |n: usize| {
        ["F{} {}.fc1", "G{} {}.fc2", "K{} {}.k_proj", "O{} {}.out_proj", "Q{} {}.q_proj", "V{} {}.v_proj"]
            .map(|text| text.replace("{}", &n.to_string()))
    };
    let mut want: Vec<String> = of(0).into_iter().chain(of(1)).collect();
    want.sort();
    assert_eq!(roles(&two), want);
    want.push("P projection".to_owned());
    want.sort();
    assert_eq!(roles(&format!("(MatMul (ReduceMean {two}) P)")), want);
}

#[test]
fn other_forms_of_attention_and_mlp() {
    for (expression, want) in [
        // Queries, keys and values of one weight, of two, in one node with its attention.
        (
            "(Add x (MatMul (MatMul (Softmax (MatMul (Slice (MatMul x W) 0) (Slice (MatMul x W) 1))) (Slice (MatMul x W) 2)) O))",
            &["O 0.out_proj", "W 0.in_proj"][..],
        ),
        (
            "(Add x (MatMul (Attention (MatMul x Q) (Slice (MatMul x W) 0) (Slice (MatMul x W) 1)) O))",
            &["O 0.out_proj", "Q 0.q_proj", "W 0.kv_proj"],
        ),
        ("(Add x (MatMul (com.microsoft.Attention x W) O))", &["O 0.out_proj", "W 0.in_proj"]),
        // Queries that are parameters: a pooling head.
        (
            "(MatMul (Attention (Expand P shape) (MatMul x K) (MatMul x V)) O)",
            &["K head.k_proj", "O projection", "V head.v_proj"],
        ),
        // Gates, of one weight and of two; an activation that the first layer's node has itself.
        (
            "(Add x (MatMul (Mul (Mul (MatMul x G) (Sigmoid (MatMul x G))) (MatMul x F)) H))",
            &["F 0.fc1", "G 0.fc1_gate", "H 0.fc2"],
        ),
        ("(Add x (MatMul (Mul (Gelu (Slice (MatMul x F) 0)) (Slice (MatMul x F) 1)) H))", &["F 0.fc1", "H 0.fc2"]),
        ("(Add x (MatMul (com.microsoft.GemmFastGelu x F) H))", &["F 0.fc1", "H 0.fc2"]),
        // No residual: the two layers of a projection.
        ("(MatMul (Gelu (MatMul x F)) H)", &["F head.fc1", "H projection"]),
        // An activation that is not known settles nothing.
        ("(Add x (MatMul (Elu (MatMul x F)) H))", &[]),
        // Queries that are parameters and folded: a pooling head all the same, and so is the MLP after it.
        (
            "(Add (MatMul (MatMul (Softmax (MatMul query (MatMul x K))) (MatMul x V)) O) (MatMul (Gelu (MatMul (MatMul (MatMul (Softmax (MatMul query (MatMul x K))) (MatMul x V)) O) F)) H))",
            &["F head.fc1", "H head.fc2", "K head.k_proj", "O head.out_proj", "V head.v_proj"],
        ),
        // Keys behind a convolution: which layers make them is not told, and the block is one all the same.
        (
            "(Add x (MatMul (MatMul (Softmax (MatMul (MatMul x Q) (MatMul (Conv x kernel) K))) (MatMul (Conv x kernel) V)) O))",
            &["K 0.k_proj", "O 0.out_proj", "Q 0.q_proj", "V 0.v_proj"],
        ),
        // What a GELU adds to its own input is no residual.
        (
            "(MatMul (Gelu (MatMul (Mul (Mul 0.5 (MatMul x F)) (Add 1 (Tanh (Mul 0.7978846 (Add (MatMul x F) (Mul 0.044715 (Pow (MatMul x F) 3))))))) G)) H)",
            &["F head.fc1", "G head.fc2", "H projection"],
        ),
    ] {
        assert_eq!(roles(expression), want, "{expression}");
    }
}
