"""What wrapping an engine takes: its arrays, its lines cut into words, its output made safe, its cost.

In: what an engine returned. Out: words that keep the contracts. The engines' own files call `engine`,
`onnx_cost`, `tessdata`.
"""
