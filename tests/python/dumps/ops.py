# SPDX-License-Identifier: Apache-2.0
"""What functions and primitives give. Run with MindSpore it writes ops.json, which the tests compare with Rutile's.

    python tests/python/dumps/ops.py     (mindspore 2.10, numpy < 2)

Each case is an expression in `ops`, `Tensor`, `Parameter` and the inputs below, the same for both packages.
"""

import json
import os
import sys

import numpy as np

FILE = os.path.join(os.path.dirname(__file__), "ops.json")

CASES = """
ops.bartlett_window(T([5], i64)[0]) ops.bartlett_window(T([6], i64)[0], False) ops.blackman_window(T([7], i64)[0])
ops.hamming_window(6) ops.hamming_window(6,False,0.5,0.4) ops.hann_window(5) ops.hann_window(1) ops.kaiser_window(7)
ops.kaiser_window(6,False,5.0)
ops.addn([a,b,a]) ops.tensor_pow(p,2.0) ops.truncate_div(T([7,-7],i32),T([2,2],i32)) ops.truncate_mod(T([7,-7],i32),T([4,4],i32))
ops.fmax(T([1,nan,3],f32),T([2,2,nan],f32)) ops.xdivy(T([0,2,-1],f32),T([0,4,2],f32))
ops.approximate_equal(T([1,2],f32),T([1.000001,3],f32)) ops.population_count(T([0,1,3,-1,255],i16)) ops.eps(a) ops.mvlgamma(p+2,3)
ops.inv(p) ops.invert(T([0,5,-3],i16)) ops.soft_shrink(a,0.3) ops.positive(a) ops.fast_gelu(a) ops.tensor_range(0,10,3)
ops.matrix_solve(sq,b3) ops.matrix_solve(sq,b3,True) ops.matrix_determinant(sq) ops.log_matrix_determinant(sq)
ops.matrix_diag(a) ops.matrix_diag(T([[1,2,3],[4,5,0]],f32),T([0,1],i32),-1,-1,9.0)
ops.matrix_diag(T([[8,9,0],[1,2,3],[0,4,5]],f32),T([-1,1],i32),3,3,T(11,f32),align='LEFT_RIGHT')
ops.matrix_diag_part(sq,T([-1,1],i32),T(7,f32)) ops.matrix_diag_part(sq,T([0,2],i32),T(7,f32),align='LEFT_LEFT')
ops.matrix_set_diag(sq,T([[0,9],[6,5]],f32),T([1,2],i32)) if 0 else ops.matrix_set_diag(sq,T([1,2,3],f32),0)
ops.matrix_diag_part(T([[1,2,3,4],[5,6,7,8]],f32),T([-1,2],i32),T(0,f32),align='RIGHT_RIGHT')
ops.batch_dot(T3,T3,(1,1)) ops.batch_dot(a,a,1) ops.bidense(a,b,w3) ops.pdist(a) ops.pdist(a,p=1.0) ops.renorm(a,1,0,1.5) ops.renorm(a,2,1,0.5)
ops.lu_unpack(sq,T([2,3,3],i32)) ops.svd(sq,compute_uv=False) ops.norm(sq) ops.norm(sq,1) ops.norm(sq,inf,0) ops.norm(a,'fro') ops.norm(a,0,1)
ops.norm(T3,2,(0,1),True) ops.norm(T3,'nuc',(1,2)) ops.inverse(sq) ops.cond(sq) ops.cond(sq,1) ops.cond(sq,'fro') ops.pinv(a) ops.dot(a,T3) ops.diag(a)
ops.matrix_norm(T3,'nuc',(0,2)) ops.matrix_norm(sq,-inf) ops.vector_norm(a,3) ops.cholesky_solve(b3,T([[2,0,0],[1,3,0],[1,1,4]],f32)) ops.lstsq(sq,b3)
ops.amax(a,1,initial=0.0,where=a>0) ops.amin(a,0,initial=5.0) ops.max(a) ops.min(a,1,True) ops.mean(T([[1,2],[4,9]],i64),1) ops.prod(a,1) ops.logsumexp(a,0,True)
ops.round(a) ops.softplus(a*9,2,5) ops.threshold(a,0.1,9.0) ops.polygamma(T(2,i64),p) ops.clip_by_norm(a,1.5) ops.clip_by_value(a,-0.5,0.5)
ops.subtract(a,b,alpha=2) ops.gather(T3,idx2,2,1) ops.gather(T3,idx2,1,1) ops.index_add(Parameter(a*1,name='q'),T([0,2],i32),a[:,:2],1) ops.index_fill(a,1,T([0,2],i32),T(7,f32))
ops.where(a>0,a,T(2,i32)) ops.select(a>0,a,3) 
ops.tril_indices(3,3) ops.triu_indices(2,3,dtype=i32) ops.diff(a,1,0) ops.repeat_interleave(a,2,1)
ops.inplace_add(a,b[:1],(1,)) ops.inplace_sub(a,b,(0,1)) ops.inplace_update(a,b[:1],0)
ops.iou(boxes,boxes2) ops.iou(boxes,boxes2,'iof') ops.check_valid(boxes,T([5,6,1],f32)) ops.bounding_box_encode(boxes,boxes2)
ops.bounding_box_decode(boxes,d4,(8,9)) ops.bounding_box_decode(boxes,d4,(8,9),(.1,.1,.2,.2),(2.,2.,3.,3.),0.5)
ops.crop_and_resize(image,T([[0,.1,.8,1.1],[.2,0,1,.5]],f32),T([0,0],i32),(3,4)) ops.crop_and_resize(image,T([[0,.1,.8,1.1]],f32),T([0],i32),(3,4),'nearest',-1.)
ops.crop_and_resize(image,T([[0,.1,.8,1.1]],f32),T([0],i32),(3,4),'bilinear_v2',-1.)
ops.mirror_pad(a,T([[1,1],[2,0]],i64),'REFLECT') ops.mirror_pad(a,T([[1,1],[0,3]],i64),'SYMMETRIC') ops.padding(a[:,:1],3)
ops.fractional_max_pool2d(im7,3,(2,3),_random_samples=T([[[.6,.2]]],f32),return_indices=True)
ops.fractional_max_pool3d(vol,2,(2,2,2),_random_samples=T([[[.6,.2,.9]]],f32),return_indices=True)
ops.unique_with_pad(T([3,1,3,2],i32),9) ops.sparse_segment_mean(a,T([0,1,1],i32),T([0,0,2],i32)) ops.ctc_greedy_decoder(ctc,T([4,3],i32))
P.Bucketize([0.,1.])(a) P.Im2Col([2,2])(im7) P.AdaptiveMaxPool2D((2,3))(im7) P.MaxPool3D(2,2,'same')(vol) P.AvgPool3D(2,2,'same')(vol) P.AvgPool3D(3,2,'pad',1)(vol)
P.Conv2DTranspose(1,3,'same',stride=2)(im7,k3,(1,1,14,14)) P.Conv2DTranspose(1,3,'pad',1,stride=2)(im7,k3,(1,1,13,13)) P.Conv2DBackpropInput(1,3,'valid')(im7,k3,(1,1,9,9))
P.MaxPoolWithArgmaxV2(3,2,1)(im7)[0] P.MaxPool3DWithArgmax(2,2,0)(vol) P.CumSum(True,True)(a,1) P.CumProd(True,False)(a,1) P.CumProd(False,True)(a,0)
P.CumulativeLogsumexp(True,False)(a[0],T(0,i64)) P.CumulativeLogsumexp(False,True)(a[0],T(0,i64)) P.MatrixTriangularSolve(True,True)(tri,b3) P.MatrixTriangularSolve()(tri,b3)
P.LARSUpdate()(a,b,T(3,f32),T(2,f32),0.1,1.0) if 0 else P.DiagPart()(sq)
P.MatrixInverse(True)(sq) P.Cross(1)(a,b) P.FillDiagonal(9.0)(sq) P.LpNorm(1,1)(a) P.ReduceStd(1)(a) P.Qr()(sq)[1]
P.SegmentSum()(a,T([0,2],i64)) P.SegmentMax()(a,T([0,2],i64)) P.SegmentMean()(a,T([1,1],i64)) P.SegmentProd()(a,T([0,0],i64)) P.SegmentMin()(a,T([0,0],i64))
P.LowerBound()(T([[1,3,5]],f32),T([[3,4]],f32)) P.UpperBound()(T([[1,3,5]],f32),T([[3,9]],f32)) P.EqualCount()(T([1,2,3],i32),T([1,2,4],i32)) P.FillV2()(T([2,3],i32),T(1,f32))
P.NMSWithMask(0.3)(scored)[1:] P.ListDiff()(T([1,2,3,4],i32),T([2,4],i32)) P.MulNoNan()(T([inf,2,nan],f32),T([0,3,0],f32)) P.NLLLoss()(a,T([0,2],i32),T([.5,1,2],f32))
P.Mod()(T([-7,7],i32),T([4,-4],i32)) P.UnravelIndex()(T([2,5],i32),T([3,3],i32)) P.SparseToDense()(T([[0,1],[1,2]],i64),T([1,2],f32),(3,4)) P.EmbeddingLookup()(a,T([[5,4],[0,9]],i32),4)
P.RGBToHSV()(image3) P.HSVToRGB()(image3.reshape(1,2,3,3)) P.AdjustHue()(image3,T(.2,f32)) P.AdjustSaturation()(image3,T(.5,f32)) P.ResizeNearestNeighbor((4,9))(im7) P.ResizeBilinearV2(True,False)(im7,(4,9))
P.ResizeBilinearV2(False,True)(im7,(4,9)) P.ResizeBilinearV2()(im7,(10,3)) P.ResizeBicubic()(im7,(1,4)) P.ResizeBicubic(True)(im7,(9,4)) P.ResizeLinear1D()(T3,(6,)) P.UpsampleTrilinear3D(True)(vol,[4,3,5],None)
P.UpsampleNearest3D()(vol,[4,3,5],None) P.SparseSoftmaxCrossEntropyWithLogits(True)(a,T([0,2],i32)) P.LSTM(2,2,1,True,False,0.0)(T3[:,:,:2],T3[:1,:,:2],T3[1:,:,:2],T(0.02,f32)*T(range(48),f32).reshape(48,1,1))[:3]
P.ROIAlign(2,3,.5,2)(im7,T([[0,1,1,9,12]],f32)) P.TridiagonalMatMul()(b3[:,:1].reshape(1,3),b3[:,1:2].reshape(1,3),b3[:,:1].reshape(1,3),sq)
P.HammingWindow()(T([5],i64)) P.BartlettWindow(False)(T(5,i64)) P.DataFormatDimMap()(T([0,1,2,-1],i32)) P.DataFormatVecPermute()(T([1,2,3,4],i32)) P.PadV3('constant',False)(a,T([1,0,2,1],i64),T(1.5,f32))
update(P.ApplyMomentum(),2,.1,b,.9) update(P.Adam(),3,.9,.999,.01,.9,.999,1e-8,b) update(P.Adam(False,True),3,.9,.999,.01,.9,.999,1e-8,b) update(P.AdamWeightDecay(),3,.01,.9,.999,1e-8,.1,b)
update(P.ApplyAdaMax(),3,.9,.01,.9,.99,1e-8,b) update(P.ApplyAdadelta(),3,.1,.9,1e-6,b) update(P.ApplyAdagrad(),2,.1,b) update(P.ApplyAdagradV2(1e-3),2,.1,b) 
update(P.ApplyFtrl(),3,b,.1,0.0,.02,-.5) update(P.ApplyGradientDescent(),1,.1,b) update(P.ApplyRMSProp(),3,.1,b,.9,.8,1e-6) update(P.ApplyCenteredRMSProp(),4,b,.1,.5,.8,1.0) update(P.ApplyAddSign(),2,.1,1.0,.9,.8,b) update(P.ApplyPowerSign(),2,.1,1.0,.9,.8,b)
update(P.ApplyProximalAdagrad(),2,.1,.01,.02,b) update(P.ApplyProximalGradientDescent(),1,.1,.01,.02,b) update(P.ApplyAdamWithAmsgrad(),4,T(.9,f32),T(.999,f32),T(.01,f32),b)
update(P.SparseApplyAdagrad(.1),2,b,T([1,0],i32)) update(P.SparseApplyFtrl(.1,.01,.02,-.5),3,b,T([1,0],i32)) update(P.FusedSparseLazyAdam(),3,.9,.999,.01,.9,.999,1e-8,b,T([1,0],i32))
"""


def names(package):
    """The names that a case may use."""
    r = np.random.RandomState(7)
    Tensor, Parameter = package.Tensor, package.Parameter
    def T(v, dtype):
        return Tensor(np.array(list(v) if isinstance(v, range) else v), dtype)

    def update(rule, written, *inputs):
        slots = [Parameter(Tensor(np.abs(np.random.RandomState(i).randn(2, 3)).astype(np.float32)), name=f"s{i}") for i in range(written)]
        rule(*slots, *inputs)
        return tuple(Tensor(s.asnumpy()) for s in slots)

    f32 = package.float32
    out = {"ops": package.ops, "P": package.ops.operations, "Tensor": Tensor, "Parameter": Parameter, "T": T, "update": update, "nan": np.nan,
           "inf": float("inf"), "f32": f32, "i64": package.int64, "i32": package.int32, "i16": package.int16}
    for name, shape in (("a", (2, 3)), ("b", (2, 3)), ("T3", (2, 3, 4)), ("b3", (3, 2)), ("w3", (4, 3, 3)), ("k3", (1, 1, 3, 3)), ("ctc", (4, 2, 5)),
                        ("im7", (1, 1, 7, 7)), ("vol", (1, 1, 5, 5, 5)), ("d4", (2, 4))):
        out[name] = Tensor(np.round(r.randn(*shape), 2).astype(np.float32))
    out["p"] = Tensor(np.abs(np.round(r.randn(2, 3), 2)).astype(np.float32) + np.float32(0.5))
    sq = np.round(r.randn(3, 3), 2) + 3 * np.eye(3)
    out["sq"], out["tri"] = Tensor(sq.astype(np.float32)), Tensor(np.tril(sq).astype(np.float32))
    out["idx2"] = Tensor(np.array([[0, 2], [1, 0]]))
    out["boxes"], out["boxes2"] = Tensor(np.array([[0, 0, 2, 3], [1, 1, 4, 4]], np.float32)), Tensor(np.array([[0, 1, 3, 5], [2, 2, 9, 4]], np.float32))
    out["image"] = Tensor(np.arange(30).reshape(1, 5, 6, 1).astype(np.float32))
    out["image3"] = Tensor(np.round(r.rand(2, 3, 3), 2).astype(np.float32))
    out["scored"] = Tensor(np.array([[0, 0, 4, 4, .9], [0, 0, 4, 5, .8], [6, 6, 9, 9, .7]], np.float32))
    return out


def cases():
    """The expressions: a line may hold several, apart by spaces outside of brackets and quotes."""
    out = []
    for line in CASES.strip().splitlines():
        if " if 0 else " in line:
            line = line.split(" if 0 else ")[1]
        depth, start = 0, 0
        for i, c in enumerate(line + " "):
            depth += (c in "([") - (c in ")]")
            if c == " " and depth == 0:
                if line[start:i].strip():
                    out.append(line[start:i].strip())
                start = i + 1
    # A comparison with a space inside belongs to its call and has a depth, so nothing is lost here.
    return out


def plain(x):
    """As JSON holds it: shapes, dtypes and values."""
    if isinstance(x, (tuple, list)):
        return [plain(v) for v in x]
    a = x.asnumpy()
    return {"dtype": str(a.dtype), "shape": list(a.shape), "values": [float(f"{v:.7g}") for v in a.astype(np.float64).reshape(-1)]}


def run(package, wanted=None):
    results, given = {}, names(package)
    for case in cases():
        try:
            results[case] = plain(eval(case, dict(given)))
        except Exception as e:
            if wanted is None:
                print(case, type(e).__name__, str(e).splitlines()[0][:150], file=sys.stderr)
            else:
                results[case] = f"{type(e).__name__}: {e}"
    return results


if __name__ == "__main__":
    import mindspore
    with open(FILE, "w") as f:
        json.dump(run(mindspore), f, separators=(",", ":"))
        f.write("\n")
