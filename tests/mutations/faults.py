"""The faults that the tests must catch: in kernels, what a GPU would punish now and then; around them, what it would
punish on another machine. Each is a text that is in its file once, what it becomes, and the tests that must fail; which
are quick ones, though others fail as well."""

from collections import namedtuple

Fault = namedtuple("Fault", "name kind file text replacement program tests")

FAULTS = []


def plant(program, file, *faults):
    """(name, kind, text, replacement, tests) each."""
    for name, kind, text, replacement, tests in faults:
        FAULTS.append(Fault(name, kind, file, text, replacement, f"bin/test_{program}", tests))


BARRIER = "deleted barrier"
LANE = "wrong lane"
EDGE = "off by one at an edge"
BOUND = "bound that excludes too much"
MEMORY = "wrong memory"
WAIT = "missing wait"
ORDER = "wrong order"
FORMULA = "wrong formula"
FRAGMENT = "wrong fragment of a product"
FALLBACK = "forgotten fallback"

# ---------------------------------------------------------------------------------------------- density

ANY_BITS = "KernelSumOnGpus.HasTheReferencesBits"
MANY_QUERIES = "KernelSumOnGpus.ManyQueriesFillTheirTiles"
WORKSPACE = "KernelSumOnGpus.WhatTheWorkspaceHeldDoesNotMatter"
LEFT_OUT = "KernelSumOnGpus.LeavingOutTheOnlyReferenceLeavesNothing"

plant(
    "kernels_density", "kernels/density/kernel_sum_cuda.cu",
    ("sum_staged", BARRIER, "__syncthreads();  // references and values are there", "", WORKSPACE),
    ("sum_step", BARRIER, "if (j > 0) __syncthreads();  // the step before is used up", "", ANY_BITS),
    ("sum_exponents", BARRIER, "__syncthreads();  // exponents are there, references and values used up", "",
     WORKSPACE),
    ("sum_chosen", BARRIER, "__syncthreads();  // chosen is used up", "", MANY_QUERIES),
    ("sum_terms", BARRIER, "__syncthreads();  // terms are used up", "", ANY_BITS),
    ("sum_rank", LANE, "(1u << lane) - 1", "(2u << lane) - 1", WORKSPACE),
    ("sum_warps_before", LANE, "if (w < thread / warp) before", "if (w <= thread / warp) before", WORKSPACE),
    ("sum_left_out", FORMULA, "(i == left_out ? 1.0f : 0.0f)", "(i == left_out ? 0.0f : 0.0f)", LEFT_OUT),
    ("sum_homes_not_cleared", MEMORY,
     "    stream.fill(std::as_writable_bytes(std::span(pass.home, pass.query_stride)), 0);\n", "", WORKSPACE),
    ("sum_homes_last", ORDER, "for (const bool homes : {true, false})", "for (const bool homes : {false, true})",
     WORKSPACE),
)
plant(
    "kernels_density", "kernels/density/histogram_cuda.cu",
    ("histogram_staged", BARRIER, "__syncthreads();  // tables and values are there", "", "HistogramOnGpus.*"),
    ("histogram_used_up", BARRIER, "__syncthreads();  // values are used up, penalties there", "", "HistogramOnGpus.*"),
    ("histogram_stale_tables", MEMORY, "if (first_tile || group_count > 1)", "if (first_tile)", "HistogramOnGpus.*"),
    ("histogram_edge", EDGE, "edges[near] <= x", "edges[near] < x", "HistogramOnGpus.*"),
)
plant(
    "kernels_density", "kernels/density/reachability_cuda.cu",
    ("reachability_staged", BARRIER, "__syncthreads();  // neighbours are there", "", "LocalOutlierFactors.*Gpus"),
    ("reachability_end", BARRIER, "__syncthreads_or(e < own_count)", "e < own_count", "LocalOutlierFactors.*Gpus"),
)

# ---------------------------------------------------------------------------------------------- nearest

STREAMED = "GpuSearch.StreamsWhatTheDeviceCannotHold"
CLUSTERS = "Made/EveryKindOnGpus.IsTheScalarTiersAnswer/clusters"

plant(
    "kernels_nearest", "kernels/nearest/screen_cuda.cu",
    ("screen_centred", BARRIER, "    __syncthreads();\n#pragma unroll\n    for (unsigned step = 0; step < chunk_steps",
     "#pragma unroll\n    for (unsigned step = 0; step < chunk_steps", CLUSTERS),
    ("screen_norm", LANE, "__shfl_xor_sync(whole_warp, squared_norm, 2)",
     "__shfl_xor_sync(whole_warp, squared_norm, 1)",
     STREAMED),
    ("screen_column", LANE, "n * 8 + quad * 2 + e % 2", "n * 8 + quad * 2 + e / 2", STREAMED),
    ("screen_fragment", FRAGMENT, "references[2 * p][1] = two.y;", "references[2 * p][1] = two.z;", STREAMED),
    ("screen_last_block", EDGE, "const unsigned blocks = (search.count + block_slots - 1) / block_slots;",
     "const unsigned blocks = (search.count + block_slots - 2) / block_slots;", CLUSTERS),
    ("screen_last_cell", EDGE, "if (cell < tile.end) {", "if (cell + 1 < tile.end) {", STREAMED),
    ("screen_room", BOUND, "slots.limit[slot] = min(slots.limit[slot], limit);",
     "slots.limit[slot] = min(slots.limit[slot], limit) / 2;", "GpuSearch.TiesAreCutByTheLowestOriginalRows"),
)
plant(
    "kernels_nearest", "kernels/nearest/place_cuda.cu",
    ("place_scan", BARRIER, "before_thread[thread - step] : 0;\n    __syncthreads();",
     "before_thread[thread - step] : 0;", STREAMED),
    ("place_limit", BOUND, "screen_limit(kth * index.scale_squared)", "screen_limit(kth * index.scale_squared * 0.5)",
     STREAMED),
)
plant(
    "kernels_nearest", "kernels/nearest/search_gpu.cpp",
    ("place_not_cleared", MEMORY,
     "    stream.fill(std::as_writable_bytes(std::span(search.slots_from, view_.cells)), 0);\n", "", STREAMED),
)
plant(
    "kernels_nearest", "kernels/nearest/warp_settled.hpp",
    ("select_scan", LANE, "if (lane >= step) through += other;", "if (lane > step) through += other;", STREAMED),
    ("settle_layout", MEMORY, "in_tile % cell_rows * 4", "in_tile % cell_rows", STREAMED),
    ("settle_tile", MEMORY, "in_tile = position - tile.begin * cell_rows", "in_tile = position", STREAMED),
)

# -------------------------------------------------------------------------------------------------- mlp

TILES = "ForwardOnGpu.BlocksThatTakeTileAfterTile"
SMALL = "ForwardOnGpu.SmallNetworksAreTheDefinition"
LARGE = "ForwardOnGpu.AwkwardValuesInLargeNetworksToo"

plant(
    "kernels_mlp", "kernels/mlp/forward_cuda.cu",
    ("fused_weights", BARRIER,
     "    memory[i] = reinterpret_cast<const float4*>(network.values)[i];\n  __syncthreads();\n",
     "    memory[i] = reinterpret_cast<const float4*>(network.values)[i];\n", SMALL),
    ("fused_rows", BARRIER, "    __syncthreads();\n    const float* from = x;\n", "    const float* from = x;\n",
     TILES),
    ("fused_hidden", MEMORY, "values + network.hidden[l & 1]", "values + network.hidden[0]", SMALL),
    ("fused_tile_step", EDGE, "first += std::size_t{gridDim.x} * rows",
     "first += std::size_t{gridDim.x} * (rows + 1)", TILES),
    ("dense_buffer", MEMORY, "other = buffer ^ 1;", "other = buffer;", LARGE),
    ("dense_chunk", BARRIER, "      }\n      __syncthreads();\n    }\n    const unsigned outputs",
     "      }\n    }\n    const unsigned outputs", LARGE),
    ("dense_pad", EDGE, "pass_inputs<dense_pitch>(a, weight_own, x_own, layer.inputs - c * S::depth);",
     "pass_inputs<dense_pitch>(a, weight_own, x_own, S::depth);", "ForwardOnGpu.NegativeZerosStay"),
)

# ----------------------------------------------------------------------------------------------- forest

GROUPS = "ForestOnGpus.TreesOfAnySizeServe"
SEVERAL_TILES = "ForestOnGpus.ABlockServesSeveralTiles"
DEFINITION = "*ForestOnEveryTier.ScoresAreTheDefinition*"

plant(
    "kernels_forest", "kernels/forest/walk_cuda.cu",
    ("forest_staged", BARRIER, "__syncthreads();  // trees and columns are there", "", GROUPS),
    ("forest_trees_used_up", BARRIER, "__syncthreads();  // trees are used up", "", GROUPS),
    ("forest_odd_trees", BARRIER, "__syncthreads();  // the odd trees' lengths are there", "", GROUPS),
    ("forest_next_tile", BARRIER, "__syncthreads();  // columns and lengths are used up", "", SEVERAL_TILES),
    ("forest_group", MEMORY, "forest.trees[t].begin - group.first_node", "forest.trees[t].begin", GROUPS),
    ("forest_odd_start", EDGE, "t = group.begin + odd;", "t = group.begin;", GROUPS),
)
plant(
    "kernels_forest", "kernels/forest/walk_tier.hpp",
    ("forest_long_sums", BOUND, "trees_a_sum = 64;", "trees_a_sum = 256;", "*TheLongestLengthsOfManyTreesAdd*"),
    ("forest_paths", LANE, "place % 8 / 4 * 16", "place % 8 / 4 * 8", DEFINITION),
)
plant(
    "kernels_forest", "kernels/forest/forest_formula.hpp",
    ("forest_tie", EDGE, "x > node.threshold", "x >= node.threshold", DEFINITION),
)

# ------------------------------------------------------------------------------------------- cut forest

CUTS_ON_GPUS = "CutForestOnGpus.ScoresAreTheDefinition*"
CUTS = "*CutForestOnEveryTier.ScoresAreTheDefinition*"
PARTS = "*CutForestOnEveryTier.PartsAddUp*"

plant(
    "kernels_cut_forest", "kernels/cut_forest/separation_cuda.cu",
    ("cut_sum", ORDER, "(sums[0] + sums[2]) + (sums[1] + sums[3])", "(sums[0] + sums[1]) + (sums[2] + sums[3])",
     CUTS_ON_GPUS),
    ("cut_others_leaf", LANE, ">> (own % warp_rows * lanes)", ">> 0", CUTS_ON_GPUS),
    ("cut_last_chains", EDGE, "c < chains / lanes; ++c)", "c < chains / lanes - 1; ++c)", CUTS_ON_GPUS),
    ("cut_beyond_width", EDGE, "return j < width ?", "return j <= width ?", CUTS_ON_GPUS),
)
plant(
    "kernels_cut_forest", "kernels/cut_forest/separation_tier.hpp",
    ("cut_waiting_row", FORMULA, "          value[r] = 0;", "          value[r] = 1, range[r] = 0;", CUTS),
    ("cut_step_tie", EDGE, "own[node.feature] > node.threshold", "own[node.feature] >= node.threshold", CUTS),
)
plant(
    "kernels_cut_forest", "kernels/simd/sums.hpp",
    ("sums_lanes", LANE, "fours[i + 2], 0x4E", "fours[i + 2], 0xE4", CUTS),
)
plant(
    "kernels_cut_forest", "kernels/cut_forest/cut_forest_formula.hpp",
    ("cut_rest", FORMULA, "given.rest = given.rest - here;", "given.rest = given.rest * (F(1) - chance);", CUTS),
)
plant(
    "kernels_cut_forest", "kernels/cut_forest/attribution.hpp",
    ("cut_base", FORMULA, "(rest - given.rest) * (node.value - centre)", "(rest - given.rest) * node.value", PARTS),
)

# --------------------------------------------------------------------------------------- oblique forest

OBLIQUE_ON_GPUS = "ObliqueForestOnGpus.ScoresAreTheDefinition*"
OBLIQUE = "*ObliqueForestOnEveryTier.ScoresAreTheDefinition*"

plant(
    "kernels_oblique_forest", "kernels/oblique_forest/walk_cuda.cu",
    ("oblique_sum", ORDER, "(sums[0] + sums[2]) + (sums[1] + sums[3])", "(sums[0] + sums[1]) + (sums[2] + sums[3])",
     OBLIQUE_ON_GPUS),
    ("oblique_last_group", EDGE, "if (place < forest.pitch)", "if (place + 8 < forest.pitch)", OBLIQUE_ON_GPUS),
    ("oblique_beyond_seen", EDGE, "if (j >= forest.seen_count) return 0.0f;", "", OBLIQUE_ON_GPUS),
)
plant(
    "kernels_oblique_forest", "kernels/oblique_forest/walk_tier.hpp",
    ("oblique_tie", EDGE, "(sums[r] > at[r]->threshold ? 1 : 0)", "(sums[r] >= at[r]->threshold ? 1 : 0)", OBLIQUE),
    ("oblique_levels", EDGE, "level < tree.depth", "level + 1 < tree.depth", OBLIQUE),
    ("oblique_tail", EDGE, "if (i < pitch)", "if (i + group < pitch)", OBLIQUE),
)
plant(
    "kernels_oblique_forest", "kernels/oblique_forest/attribution.hpp",
    ("oblique_reach", FORMULA, "absolute(weight * (y - centre))", "absolute(weight * y)",
     "*ObliqueForestOnEveryTier.AFeatureIsGiven*"),
)

# ------------------------------------------------------------------------------------------------- tail

plant(
    "kernels_tail", "kernels/tail/tail_cuda.cu",
    ("tail_end", EDGE, "if (i >= count) return;\n  look_up_one(look,", "if (i > count) return;\n  look_up_one(look,",
     "TailOnGpu.TakesAnyNumberOfScores"),
    ("tail_tie", EDGE, "while (look.tables.distinct[first] < s) ++first;",
     "while (look.tables.distinct[first] <= s) ++first;", "TailOnGpu.TakesAnyNumberOfScores"),
    ("tail_others", MEMORY, "look_up_one(looks[which[i]],", "look_up_one(looks[which[0]],",
     "TailOnGpu.EachScoresOwnCalibrationIsTheCpus"),
)

# ------------------------------------------------------------------------------------- a batch's round trip

TRIP = "*EveryDetectorsRoundTrip.BringsTheCpusResultsBatchAfterBatch/histogram"

SCORE = """\
  scorer.score_on_device(stream_, {device_rows_.data(), n, rows.width, rows.width}, workspace_.span(),
                         device_scores_.span().first(n), device_p_values_.span().first(n),
                         device_extrapolated_.span().first(n), on_device);
"""
COPY_OUT = "stream_.copy_out(scores_.span().first(n), device_scores_.data());\n"

plant(
    "engine_model", "engine/model/round_trip.hpp",
    ("trip_done", WAIT, "bool done() const { return event_.happened(); }", "bool done() const { return true; }", TRIP),
    ("trip_wait", WAIT, "void wait() const { event_.synchronize(); }", "void wait() const {}",
     "RoundTrip.RefusesRowsThatItHasNoRoomFor"),
    ("trip_host_reads_device", MEMORY, "return scores_.span().first(count_);",
     "return device_scores_.span().first(count_);",
     TRIP),
)
plant(
    "engine_model", "engine/model/round_trip.cpp",
    ("trip_not_recorded", WAIT, "  stream_.record(event_);\n}", "}", TRIP),
    ("trip_other_stream", WAIT, "stream_.copy_out(scores_.span().first(n), device_scores_.data());",
     "Stream other = device_.stream();\n  other.copy_out(scores_.span().first(n), device_scores_.data());", TRIP),
    ("trip_copied_early", ORDER, f"{SCORE}  {COPY_OUT}", f"  {COPY_OUT}{SCORE}", TRIP),
    ("trip_direction", MEMORY, "stream_.copy_in(device_rows_.span().first(values), rows.data);",
     "stream_.copy_out(device_rows_.span().first(values), rows.data);", TRIP),
    ("trip_not_copied", MEMORY, "  stream_.copy_in(device_rows_.span().first(values), rows.data);\n", "", TRIP),
)

# ------------------------------------------------------------------------------------------ falling back

plant(
    "host_pipeline", "host/pipeline/scoring.cpp",
    ("host_reads_early", WAIT, "if (trip->done()) continue;", "if (trip) continue;",
     "*OnGpu.ResultsAreThoseOfTheCpu*/histogram"),
    ("host_not_scored_again", FALLBACK, "    score_on_cpu(slot);\n  }",
     "    if (!was_on_gpu) score_on_cpu(slot);\n  }",
     "*FailingGpu.*/lost"),
)

# ------------------------------------------------------------------------------------------- light work

plant(
    "host_pipeline", "host/pipeline/pipeline.cpp",
    ("host_light_work_passes", ORDER, "if (!lock || to_score_.size() > 0) return false;", "if (!lock) return false;",
     "LightWork.DoesNotPassWhatCameBefore"),
    ("host_light_work_stores", WAIT, "if (!does_light_work_ || ports_.open_results) return false;",
     "if (!does_light_work_) return false;", "StoredLightWork.WaitsForNoDisk"),
)
